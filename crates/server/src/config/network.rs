//! How the server is reached from outside.

use ams_web::TrustedProxies;
use ams_web::origin::PublicUrl;
use ipnet::IpNet;

use super::values;

/// Public address and proxies.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Network")]
pub struct Network {
    /// Scheme and host of printed links, such as https://ams.example; without it links follow the request's Host
    #[arg(long, env = "AMS_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<PublicUrl>,
    /// Network or address of a proxy whose X-Forwarded-* headers are believed; repeatable
    #[arg(long, env = "AMS_TRUSTED_PROXY", value_name = "NETWORK", value_delimiter = ',', value_parser = values::network)]
    pub trusted_proxy: Vec<IpNet>,
}

impl Network {
    /// The proxies that are believed.
    pub fn trusted(&self) -> TrustedProxies {
        TrustedProxies::new(self.trusted_proxy.iter().copied())
    }
}
