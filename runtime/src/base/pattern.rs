//! Patterns of names.

/// Returns whether `name` fits `pattern`, in which `*` stands for any number of characters.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| name.strip_prefix(first)) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(before) = last.replace(part) {
            match rest.find(before) {
                Some(at) => rest = &rest[at + before.len()..],
                None => return false,
            }
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_in_a_pattern_stands_for_anything() {
        for (pattern, name, fit) in [
            ("/room", "/room", true),
            ("/room", "/rooms", false),
            ("/room-*", "/room-1", true),
            ("/room-*", "/room-", true),
            ("/room-*", "/hall-1", false),
            ("/*/chat", "/a/chat", true),
            ("/*/chat", "/chat", false),
            ("/a*b*c", "/a1b2c", true),
            ("/a*b*c", "/acb", false),
            ("/ab*ba", "/aba", false),
            ("*", "/anything", true),
        ] {
            assert_eq!(fits(pattern, name), fit, "{pattern} {name}");
        }
    }
}
