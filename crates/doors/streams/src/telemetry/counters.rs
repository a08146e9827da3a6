//! The counters themselves: a fixed table, added to without a lock.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// What somebody asked of the door over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// `POST /v1/accounts`
    CreateAccount,
    /// `POST /v1/accounts/{ns}/credential/rotate`
    RotateCredential,
    /// `DELETE /v1/accounts/{ns}`
    DeleteAccount,
    /// `POST /v1/{ns}/conversations`
    CreateConversation,
    /// `GET /v1/{ns}/conversations`
    ListConversations,
    /// `GET /v1/{ns}/conversations/{alias}`
    InspectConversation,
    /// `DELETE /v1/{ns}/conversations/{alias}`
    DeleteConversation,
    /// `POST /v1/{ns}/conversations/{alias}/link/rotate`
    RotateLink,
    /// `DELETE /v1/{ns}/conversations/{alias}/link`
    RevokeLink,
    /// `PATCH /v1/{ns}/conversations/{alias}/link`
    ChangeLink,
    /// `GET` of a magic link
    OpenLink,
    /// A WebSocket upgrade of a magic link.
    Connect,
}

impl Action {
    /// Every action, in the order of its counters.
    pub const ALL: [Action; 12] = [
        Action::CreateAccount,
        Action::RotateCredential,
        Action::DeleteAccount,
        Action::CreateConversation,
        Action::ListConversations,
        Action::InspectConversation,
        Action::DeleteConversation,
        Action::RotateLink,
        Action::RevokeLink,
        Action::ChangeLink,
        Action::OpenLink,
        Action::Connect,
    ];

    /// The word in reports and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Action::CreateAccount => "create_account",
            Action::RotateCredential => "rotate_credential",
            Action::DeleteAccount => "delete_account",
            Action::CreateConversation => "create_conversation",
            Action::ListConversations => "list_conversations",
            Action::InspectConversation => "inspect_conversation",
            Action::DeleteConversation => "delete_conversation",
            Action::RotateLink => "rotate_link",
            Action::RevokeLink => "revoke_link",
            Action::ChangeLink => "change_link",
            Action::OpenLink => "open_link",
            Action::Connect => "connect",
        }
    }
}

/// Close codes that are counted one by one (§3.11 and RFC 6455 §7.4); a peer that invents others adds to one count.
pub(super) const CLOSE_CODES: [u16; 17] =
    [1000, 1001, 1002, 1005, 1006, 1007, 1008, 1009, 1012, 4001, 4002, 4003, 4004, 4005, 4290, 4400, 4500];

/// One counter of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metric {
    Tokens,
    TokenBytes,
    AccountsCreated,
    AccountsDeleted,
    ConversationsCreated,
    ConversationsDeleted,
    StreamsJoined,
    /// The place in [`CLOSE_CODES`], or one past it.
    Close(usize),
    Call(Action),
    /// A call that was answered with an error.
    Refusal(Action),
}

const PLAIN: usize = 7;
const CLOSES: usize = CLOSE_CODES.len() + 1;
const COUNT: usize = PLAIN + CLOSES + 2 * Action::ALL.len();

impl Metric {
    pub(super) fn close(code: u16) -> Self {
        Metric::Close(CLOSE_CODES.iter().position(|known| *known == code).unwrap_or(CLOSE_CODES.len()))
    }

    /// Every close that is counted, with the label it goes by.
    pub(super) fn closes() -> impl Iterator<Item = (Metric, String)> {
        let labels = CLOSE_CODES.iter().map(u16::to_string).chain(["other".to_owned()]);
        labels.enumerate().map(|(place, label)| (Metric::Close(place), label))
    }

    fn all() -> impl Iterator<Item = Metric> {
        use Metric::{
            AccountsCreated, AccountsDeleted, ConversationsCreated, ConversationsDeleted, StreamsJoined, TokenBytes,
            Tokens,
        };
        let plain: [Metric; PLAIN] = [
            Tokens,
            TokenBytes,
            AccountsCreated,
            AccountsDeleted,
            ConversationsCreated,
            ConversationsDeleted,
            StreamsJoined,
        ];
        let closes = (0..CLOSES).map(Metric::Close);
        let (calls, refusals) = (Action::ALL.map(Metric::Call), Action::ALL.map(Metric::Refusal));
        plain.into_iter().chain(closes).chain(calls).chain(refusals)
    }

    #[inline]
    const fn index(self) -> usize {
        match self {
            Metric::Tokens => 0,
            Metric::TokenBytes => 1,
            Metric::AccountsCreated => 2,
            Metric::AccountsDeleted => 3,
            Metric::ConversationsCreated => 4,
            Metric::ConversationsDeleted => 5,
            Metric::StreamsJoined => 6,
            Metric::Close(place) => PLAIN + place,
            Metric::Call(action) => PLAIN + CLOSES + action as usize,
            Metric::Refusal(action) => PLAIN + CLOSES + Action::ALL.len() + action as usize,
        }
    }

    /// The name in the stored record; never changed.
    fn name(self) -> String {
        match self {
            Metric::Tokens => "tokens".into(),
            Metric::TokenBytes => "token_bytes".into(),
            Metric::AccountsCreated => "accounts_created".into(),
            Metric::AccountsDeleted => "accounts_deleted".into(),
            Metric::ConversationsCreated => "conversations_created".into(),
            Metric::ConversationsDeleted => "conversations_deleted".into(),
            Metric::StreamsJoined => "streams_joined".into(),
            Metric::Close(place) => match CLOSE_CODES.get(place) {
                Some(code) => format!("close.{code}"),
                None => "close.other".into(),
            },
            Metric::Call(action) => format!("call.{}", action.as_str()),
            Metric::Refusal(action) => format!("refusal.{}", action.as_str()),
        }
    }
}

/// Counters that only grow while the process lives. Aligned, so that counting tokens disturbs nothing beside them.
#[derive(Debug)]
#[repr(align(128))]
pub(super) struct Counters([AtomicU64; COUNT]);

impl Default for Counters {
    fn default() -> Self {
        Counters(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Counters {
    #[inline]
    pub(super) fn add(&self, metric: Metric, count: u64) {
        self.0[metric.index()].fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Counts {
        Counts(std::array::from_fn(|index| self.0[index].load(Ordering::Relaxed)))
    }
}

/// The table at one moment, or what was counted between two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Counts([u64; COUNT]);

impl Default for Counts {
    fn default() -> Self {
        Counts([0; COUNT])
    }
}

impl Counts {
    pub(super) fn get(&self, metric: Metric) -> u64 {
        self.0[metric.index()]
    }

    pub(super) fn add(&mut self, more: &Counts) {
        self.0.iter_mut().zip(more.0).for_each(|(count, more)| *count = count.saturating_add(more));
    }

    pub(super) fn minus(&self, earlier: &Counts) -> Counts {
        Counts(std::array::from_fn(|index| self.0[index].saturating_sub(earlier.0[index])))
    }
}

/// Counts by name; those that are zero are left out, names this program does not know are dropped.
pub(super) type Named = BTreeMap<String, u64>;

impl From<&Counts> for Named {
    fn from(counts: &Counts) -> Named {
        let named = Metric::all().map(|metric| (metric.name(), counts.get(metric)));
        named.filter(|(_, count)| *count != 0).collect()
    }
}

impl From<Named> for Counts {
    fn from(named: Named) -> Counts {
        let mut counts = Counts::default();
        for metric in Metric::all() {
            counts.0[metric.index()] = named.get(&metric.name()).copied().unwrap_or(0);
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_has_its_own_place_and_name() {
        let all: Vec<Metric> = Metric::all().collect();
        assert_eq!(all.len(), COUNT);
        assert!(all.iter().enumerate().all(|(place, metric)| metric.index() == place));
        let names: std::collections::BTreeSet<_> = all.iter().map(|metric| metric.name()).collect();
        assert_eq!(names.len(), COUNT);
    }

    #[test]
    fn counts_read_themselves_back_by_name() {
        let counters = Counters::default();
        for (place, metric) in Metric::all().enumerate() {
            counters.add(metric, place as u64);
        }
        let counts = counters.read();
        let mut named = Named::from(&counts);
        named.insert("from a later version".into(), 5);
        assert_eq!(Counts::from(named), counts);
    }

    #[test]
    fn an_unknown_close_code_adds_to_one_count() {
        assert_eq!(Metric::close(4999), Metric::close(3000));
        assert_ne!(Metric::close(4001), Metric::close(4002));
        assert_eq!(Metric::closes().last().unwrap(), (Metric::close(1), "other".to_owned()));
    }
}
