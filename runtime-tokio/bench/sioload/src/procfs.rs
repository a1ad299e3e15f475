//! CPU time and memory of a process, from /proc.
use std::fs;

/// CPU seconds (user + system, all live threads). Nanosecond `schedstat` where the kernel has it,
/// else the 10 ms ticks of `stat`.
pub fn cpu_secs(pid: u32) -> Option<f64> {
    let mut ns = 0u64;
    let mut any = false;
    for t in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let stat = fs::read_to_string(t.path().join("schedstat")).unwrap_or_default();
        if let Some(v) = stat.split_whitespace().next().and_then(|v| v.parse::<u64>().ok()) {
            ns += v;
            any = true;
        }
    }
    if any && ns > 0 {
        return Some(ns as f64 / 1e9);
    }
    let s = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let f: Vec<&str> = s[s.rfind(')')? + 1..].split_whitespace().collect();
    let (u, k): (f64, f64) = (f.get(11)?.parse().ok()?, f.get(12)?.parse().ok()?);
    Some((u + k) / 100.0)
}

/// (VmRSS, VmHWM) in KiB.
pub fn rss_kib(pid: u32) -> Option<(u64, u64)> {
    let s = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let get = |k: &str| s.lines().find_map(|l| l.strip_prefix(k)?.split_whitespace().next()?.parse().ok());
    Some((get("VmRSS:")?, get("VmHWM:")?))
}
