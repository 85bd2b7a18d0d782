//! Command lines that a report prints, so that a person can run them.

use std::borrow::Cow;

/// Returns the command line of a dry run without `--dry-run`, bound to its plan and to what the channel serves: a digest or `none`.
pub fn carrying_out(typed: Vec<String>, plan: &str, current: Option<&str>) -> Vec<String> {
    let has = |flag: &str, typed: &[String]| {
        typed.iter().any(|argument| argument.split_once('=').map_or(argument.as_str(), |(name, _)| name) == flag)
    };
    let mut words: Vec<String> = typed;
    words.retain(|argument| argument != "--dry-run" && argument != "--dry-run=true");
    // What was prepared comes back with signatures.
    for word in &mut words {
        if word == "--prepare" || word.starts_with("--prepare=") {
            *word = word.replacen("--prepare", "--signature", 1);
        }
    }
    if !has("--if-plan", &words) && !has("--approved", &words) {
        words.extend(["--if-plan".to_owned(), plan.to_owned()]);
    }
    if let Some(current) = current.filter(|_| !has("--if-current", &words)) {
        words.extend(["--if-current".to_owned(), current.to_owned()]);
    }
    words
}

/// Joins words to a line, quoted as a shell reads them.
pub fn quoted(words: impl IntoIterator<Item = String>) -> String {
    let quoted = |word: String| shlex::try_quote(&word).map_or_else(|_| word.clone(), Cow::into_owned);
    words.into_iter().map(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dry_run_is_carried_out_by_its_own_command_line() {
        let plan = "sha256:0a1b";
        let bound = |typed: &str| {
            let words = shlex::split(typed).expect("words");
            quoted(carrying_out(words, plan, Some("none")))
        };
        let ends = format!("--if-plan {plan} --if-current none");
        let typed = "alga-release rollback stable --dry-run --to 1.0.3 --reason 'login fails'";
        assert_eq!(bound(typed), format!("alga-release rollback stable --to 1.0.3 --reason 'login fails' {ends}"));
        assert_eq!(bound("a --dry-run=true x"), format!("a x {ends}"));
        let given = "a --dry-run --if-plan=sha256:x --if-current none";
        assert_eq!(bound(given), "a '--if-plan=sha256:x' --if-current none");
        assert_eq!(bound("a --prepare x.json"), format!("a --signature x.json {ends}"));
        assert_eq!(bound("a --prepare=x.json"), format!("a '--signature=x.json' {ends}"));
        assert_eq!(bound("a --dry-run --approved plan.json"), "a --approved plan.json --if-current none");
    }
}
