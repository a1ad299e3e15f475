//! The limits, as the documentation states them.

use sansocket_runtime::Limits;
use std::collections::BTreeSet;

const SECURITY: &str = include_str!("../../SECURITY.md");
const LIMITS: &str = include_str!("../../docs/limits.md");

/// The cells of each row of a page's tables.
fn rows(page: &str) -> impl Iterator<Item = Vec<&str>> {
    page.lines()
        .filter(|line| line.starts_with("| "))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
}

/// The words in backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn the_page_of_limits_has_the_values_of_the_code() {
    let (default, internet, trusted) = (Limits::default(), Limits::internet(), Limits::trusted());
    let of_code: Vec<_> = default
        .table()
        .into_iter()
        .zip(internet.table())
        .zip(trusted.table())
        .map(|(((name, default), (_, internet)), (_, trusted))| {
            [format!("`{name}`"), default, internet, trusted]
        })
        .collect();
    let mut of_page = Vec::new();
    for row in rows(LIMITS).filter(|row| row.len() == 5 && row[0].starts_with('`')) {
        assert!(!row[4].is_empty(), "{} has no reason", row[0]);
        of_page.push([row[0], row[1], row[2], row[3]].map(str::to_owned));
    }
    assert_eq!(of_page, of_code);
}

#[test]
fn the_page_of_limits_states_what_they_add_up_to() {
    let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    for (name, limits) in
        [("default", Limits::default()), ("internet", Limits::internet()), ("trusted", Limits::trusted())]
    {
        let row = rows(LIMITS).find(|row| row.len() == 3 && row[0] == name);
        let row = row.unwrap_or_else(|| panic!("no row for {name}"));
        assert_eq!(row[1], megabytes(limits.bytes_per_stranger()), "{name}, a stranger");
        assert_eq!(row[2], megabytes(limits.bytes_per_client()), "{name}, a client");
    }
}

#[test]
fn the_table_of_security_has_each_limit_with_its_default() {
    let section =
        SECURITY.split("\n## ").find(|section| section.starts_with("Limits\n")).expect("the section");
    let table = Limits::default().table();
    let mut seen = BTreeSet::new();
    for row in rows(section) {
        // Options of something else are not part of it: `UnixBus`: `ping_interval`. Some have the name of a limit.
        if row[0].contains("`: `")
            || row[0].contains("of connection state recovery")
            || row[0].contains("of the same")
        {
            continue;
        }
        let mut rest = row[1];
        for name in quoted(row[0]) {
            let Some((name, value)) = table.iter().find(|(known, _)| *known == name) else { continue };
            assert!(seen.insert(*name), "{name} is there twice");
            let at = rest.find(value.as_str());
            let at = at.unwrap_or_else(|| panic!("`{name}` is {value}, and SECURITY.md says: {}", row[1]));
            rest = &rest[at + value.len()..];
        }
    }
    let all: BTreeSet<_> = table.iter().map(|(name, _)| *name).collect();
    assert_eq!(seen, all);
}
