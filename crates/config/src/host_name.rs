//! Names of this server, as requests give them in `Host`.

use std::fmt;

/// The longest name that DNS knows.
const HOST_NAME_CHARS_MAX: usize = 253;

/// A host name without a port, in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostName(String);

impl HostName {
    pub fn parse(text: &str) -> Result<Self, String> {
        let name = text.to_ascii_lowercase();
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-.".contains(c);
        if !(1..=HOST_NAME_CHARS_MAX).contains(&name.len()) || !name.chars().all(allowed) {
            return Err(format!(
                "`{text}` is not a host name: write it without scheme and port, e.g. autom8.example.org"
            ));
        }
        Ok(HostName(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_in_lower_case_and_anything_else_is_refused() {
        assert_eq!(
            HostName::parse("Autom8.Example").unwrap().as_str(),
            "autom8.example"
        );
        for text in [
            "",
            "https://autom8.example",
            "autom8.example:443",
            "a b",
            "*",
        ] {
            let error = HostName::parse(text).unwrap_err();
            assert!(error.contains("without scheme and port"), "{error}");
        }
    }
}
