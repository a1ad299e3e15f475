//! Patterns of names.

/// Returns whether `name` fits `pattern`, in which `*` stands for any number of characters.
pub(crate) fn fits(pattern: &str, name: &str) -> bool {
    parts(pattern, name).is_some()
}

/// The parts of a name that the stars of its pattern stand for: each as little as possible, the last one the rest.
pub(crate) fn parts<'a>(pattern: &str, name: &'a str) -> Option<Vec<&'a str>> {
    let mut pieces = pattern.split('*');
    let mut rest = name.strip_prefix(pieces.next()?)?;
    let mut parts = Vec::new();
    let mut last = None;
    for piece in pieces {
        if let Some(before) = last.replace(piece) {
            let (part, behind) = rest.split_once(before)?;
            parts.push(part);
            rest = behind;
        }
    }
    match last {
        Some(last) => parts.push(rest.strip_suffix(last)?),
        None if rest.is_empty() => {}
        None => return None,
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::{fits, parts};

    #[test]
    fn the_parts_of_a_name_are_what_the_stars_stand_for() {
        for (pattern, name, expected) in [
            ("/room", "/room", Some(&[][..])),
            ("/room-*", "/room-1", Some(&["1"])),
            ("/room-*", "/room-", Some(&[""])),
            ("/game-*/room-*", "/game-7/room-a/room-b", Some(&["7", "a/room-b"])),
            ("/*/chat", "/a/chat", Some(&["a"])),
            ("/*/chat", "/chat", None),
            ("/ab*ba", "/aba", None),
            ("*", "/anything", Some(&["/anything"])),
        ] {
            let found = parts(pattern, name);
            assert_eq!(found.as_deref(), expected, "{pattern} {name}");
            assert_eq!(found.is_some(), fits(pattern, name), "{pattern} {name}");
        }
    }

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
