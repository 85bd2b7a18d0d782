//! The functions that a template of a chart may call.

/// Which versions of Helm know a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Every Helm 4.
    Always,
    /// Helm 4.3 and later, which is newer than the Helm in Flux's helm-controller 1.6.
    Since43,
}

/// Returns who knows the function; nothing when Helm says that it is not defined.
pub fn known(name: &str) -> Option<Known> {
    if SINCE_4_3.binary_search(&name).is_ok() {
        return Some(Known::Since43);
    }
    let lists = [GO, HELM, SPRIG];
    lists.iter().any(|names| names.binary_search(&name).is_ok()).then_some(Known::Always)
}

/// Returns the names of all functions that Helm defines.
pub fn functions() -> impl Iterator<Item = &'static str> {
    [GO, HELM, SPRIG, SINCE_4_3].into_iter().flatten().copied()
}

/// Those of `text/template`.
const GO: &[&str] = &[
    "and", "call", "eq", "ge", "gt", "html", "index", "js", "le", "len", "lt", "ne", "not", "or", "print", "printf",
    "println", "slice", "urlquery",
];

/// Those that Helm adds.
const HELM: &[&str] = &[
    "fromJson", "fromJsonArray", "fromToml", "fromYaml", "fromYamlArray", "include", "lookup", "mustToJson", "mustToToml",
    "mustToYaml", "required", "toJson", "toToml", "toYaml", "toYamlPretty", "tpl",
];

/// Those that Helm 4.3 added.
const SINCE_4_3: &[&str] = &[
    "durationDays", "durationHours", "durationMicroseconds", "durationMilliseconds", "durationMinutes",
    "durationNanoseconds", "durationRoundTo", "durationSeconds", "durationTruncateTo", "durationWeeks", "mustToDuration",
];

/// Those of Sprig 3.3, without `env` and `expandenv`, which Helm takes out.
const SPRIG: &[&str] = &[
"abbrev", "abbrevboth", "add", "add1", "add1f", "addf", "adler32sum", "ago", "all", "any", "append", "atoi", "b32dec", "b32enc", "b64dec", "b64enc", "base", "bcrypt", "biggest", "buildCustomCert", "camelcase", "cat", "ceil", "chunk", "clean", "coalesce", "compact", "concat", "contains", "date", "dateInZone", "dateModify", "date_in_zone", "date_modify", "decryptAES", "deepCopy", "deepEqual", "default", "derivePassword", "dict", "dig", "dir", "div", "divf", "duration", "durationRound", "empty", "encryptAES", "ext", "fail", "first", "float64", "floor", "fromJson", "genCA", "genCAWithKey", "genPrivateKey", "genSelfSignedCert", "genSelfSignedCertWithKey", "genSignedCert", "genSignedCertWithKey", "get", "getHostByName", "has", "hasKey", "hasPrefix", "hasSuffix", "hello", "htmlDate", "htmlDateInZone", "htpasswd", "indent", "initial", "initials", "int", "int64", "isAbs", "join", "kebabcase", "keys", "kindIs", "kindOf", "last", "list", "lower", "max", "maxf", "merge", "mergeOverwrite", "min", "minf", "mod", "mul", "mulf", "mustAppend", "mustChunk", "mustCompact", "mustDateModify", "mustDeepCopy", "mustFirst", "mustFromJson", "mustHas", "mustInitial", "mustLast", "mustMerge", "mustMergeOverwrite", "mustPrepend", "mustPush", "mustRegexFind", "mustRegexFindAll", "mustRegexMatch", "mustRegexReplaceAll", "mustRegexReplaceAllLiteral", "mustRegexSplit", "mustRest", "mustReverse", "mustSlice", "mustToDate", "mustToJson", "mustToPrettyJson", "mustToRawJson", "mustUniq", "mustWithout", "must_date_modify", "nindent", "nospace", "now", "omit", "osBase", "osClean", "osDir", "osExt", "osIsAbs", "pick", "pluck", "plural", "prepend", "push", "quote", "randAlpha", "randAlphaNum", "randAscii", "randBytes", "randInt", "randNumeric", "regexFind", "regexFindAll", "regexMatch", "regexQuoteMeta", "regexReplaceAll", "regexReplaceAllLiteral", "regexSplit", "repeat", "replace", "rest", "reverse", "round", "semver", "semverCompare", "seq", "set", "sha1sum", "sha256sum", "sha512sum", "shuffle", "slice", "snakecase", "sortAlpha", "split", "splitList", "splitn", "squote", "sub", "subf", "substr", "swapcase", "ternary", "title", "toDate", "toDecimal", "toJson", "toPrettyJson", "toRawJson", "toString", "toStrings", "trim", "trimAll", "trimPrefix", "trimSuffix", "trimall", "trunc", "tuple", "typeIs", "typeIsLike", "typeOf", "uniq", "unixEpoch", "unset", "until", "untilStep", "untitle", "upper", "urlJoin", "urlParse", "uuidv4", "values", "without", "wrap", "wrapWith", ];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_for_the_search() {
        for list in [GO, HELM, SINCE_4_3, SPRIG] {
            assert!(list.is_sorted());
        }
        assert_eq!(known("toYaml"), Some(Known::Always));
        assert_eq!(known("mustToDuration"), Some(Known::Since43));
        assert_eq!(known("env"), None);
    }
}
