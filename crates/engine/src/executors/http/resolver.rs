//! Resolves names and lets through only the addresses that may be connected to.
//!
//! The connector connects to what the resolver returns and to nothing else, so the address that
//! was checked is the address that is used: there is no second lookup to answer differently.

use std::net::SocketAddr;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::network::{NetworkPolicy, Refusal};

#[derive(Debug)]
pub(super) struct CheckedResolver {
    policy: NetworkPolicy,
}

impl CheckedResolver {
    pub(super) fn new(policy: NetworkPolicy) -> Self {
        CheckedResolver { policy }
    }
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.policy.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses: Addrs = Box::new(permitted(&policy, found)?.into_iter());
            Ok(addresses)
        })
    }
}

/// What of the addresses may be used; why not, if that is none.
fn permitted(
    policy: &NetworkPolicy,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<SocketAddr>, Refusal> {
    let mut permitted = Vec::new();
    let mut refused = None;
    for address in found {
        match policy.check(address.ip()) {
            Ok(()) => permitted.push(address),
            Err(refusal) => refused = Some(refusal),
        }
    }
    match refused {
        Some(refusal) if permitted.is_empty() => Err(refusal),
        _ => Ok(permitted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_addresses_of_both_kinds_leads_to_the_permitted_ones() {
        let found = ["169.254.169.254:0", "93.184.216.34:0"].map(|text| text.parse().unwrap());
        let policy = NetworkPolicy::default();
        let permitted_of = |found: &[SocketAddr]| permitted(&policy, found.iter().copied());
        assert_eq!(permitted_of(&found), Ok(vec![found[1]]));
        assert_eq!(
            permitted_of(&found[..1]),
            Err(Refusal::Never(found[0].ip()))
        );
    }
}
