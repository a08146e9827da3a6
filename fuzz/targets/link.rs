//! A link's path and query: whatever they hold, what is read of them is a conversation's address and a token, or nothing.
#![no_main]

use ams_door_streams::link::{Address, connect_token, token};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
    if let Some(address) = Address::of_link(path) {
        let Address { namespace, alias } = address;
        assert!(!namespace.is_empty() && !alias.is_empty() && !namespace.contains('/') && !alias.contains('/'));
        let bare = format!("/{namespace}/conversations/{alias}");
        assert_eq!(Address::of_link(&bare), Some(address), "an address reads back");
        if let Some((namespace, alias)) = address.names() {
            assert_eq!((namespace.as_str(), alias.as_str()), (address.namespace, address.alias));
        }
    }

    let (plain, connect) = (token(query), connect_token(query));
    assert!(plain.as_ref().is_none_or(|token| !token.expose().is_empty()));
    let Some(connect) = connect else { return };
    let plain = plain.expect("who connects by a token has one");
    assert!(!connect.expose().is_empty() && plain.expose().starts_with(connect.expose()));
    // A token with nothing to decode is taken as it stands.
    let as_it_stands = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if as_it_stands(plain.expose()) {
        assert_eq!(plain.expose(), connect.expose());
    }
});
