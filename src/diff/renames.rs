//! Finds renamed files: files that only the older side has, similar to files that only the newer side has. As in git, half of a
//! file must be the same. The work grows with the count of lines, never with the product of the counts of files.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::side::Files;

/// Share of the larger file that both files must have in common, in percent. git has the same default.
const SIMILAR: usize = 50;
/// Largest file, in bytes, whose lines are compared. A larger file is renamed only when all of its bytes are the same.
const FILE_LIMIT: usize = 1 << 20;
/// Most files that one line, or one file name, leads to. A line that more files share (a licence, a brace) says nothing.
const CANDIDATES: usize = 8;

/// A file of one side alone.
#[derive(Clone, Copy, Debug)]
struct File<'f> {
    path: &'f str,
    bytes: &'f [u8],
}

impl<'f> File<'f> {
    fn name(&self) -> &'f str {
        self.path.rsplit('/').next().unwrap_or(self.path)
    }
}

/// Returns the old path of each renamed file by its new path. `lines` is the count of lines that may still be compared; a file
/// beyond that is renamed only when all of its bytes are the same. An empty file is never renamed: it is similar to nothing.
pub(super) fn of<'f>(from: &'f Files, to: &'f Files, lines: &mut usize) -> BTreeMap<&'f str, &'f str> {
    let mut found = Renames { gone: only(from, to), added: only(to, from), renamed: BTreeMap::new() };
    found.pair_by(|file| (file.bytes, file.name()));
    found.pair_by(|file| (file.bytes, ""));
    found.pair_similar(lines);
    found.renamed
}

fn only<'f>(files: &'f Files, others: &Files) -> Vec<File<'f>> {
    let only = files.iter().filter(|(path, bytes)| !bytes.is_empty() && !others.contains_key(*path));
    only.map(|(path, bytes)| File { path, bytes }).collect()
}

struct Renames<'f> {
    gone: Vec<File<'f>>,
    added: Vec<File<'f>>,
    renamed: BTreeMap<&'f str, &'f str>,
}

impl<'f> Renames<'f> {
    /// Pairs files that have the same key, in the order of their paths.
    fn pair_by<K: Ord>(&mut self, key: impl Fn(&File<'f>) -> K) {
        let mut gone: BTreeMap<K, VecDeque<File<'f>>> = BTreeMap::new();
        for file in self.gone.drain(..) {
            gone.entry(key(&file)).or_default().push_back(file);
        }
        let renamed = &mut self.renamed;
        self.added.retain(|file| {
            let old = gone.get_mut(&key(file)).and_then(VecDeque::pop_front);
            if let Some(old) = old {
                renamed.insert(file.path, old.path);
            }
            old.is_none()
        });
        self.gone = gone.into_values().flatten().collect();
        self.gone.sort_by_key(|file| file.path);
    }

    /// Pairs files that have enough lines in common, the most similar first.
    fn pair_similar(&mut self, left: &mut usize) {
        if self.gone.is_empty() || self.added.is_empty() {
            return;
        }
        let old: Vec<Lines<'_>> = self.gone.iter().filter_map(|file| Lines::of(*file, left)).collect();
        let new: Vec<Lines<'_>> = self.added.iter().filter_map(|file| Lines::of(*file, left)).collect();
        let index = Index::of(&old);
        let mut pairs = Vec::new();
        for (to, file) in new.iter().enumerate() {
            for from in index.candidates(file) {
                let (score, same_name) = (file.similarity(&old[from]), file.file.name() == old[from].file.name());
                if score >= SIMILAR {
                    pairs.push((std::cmp::Reverse((score, same_name)), from, to));
                }
            }
        }
        pairs.sort_unstable();
        let (mut gone, mut renamed) = (BTreeSet::new(), BTreeSet::new());
        for (_, from, to) in pairs {
            if !gone.contains(&from) && !renamed.contains(&to) {
                self.renamed.insert(new[to].file.path, old[from].file.path);
                gone.insert(from);
                renamed.insert(to);
            }
        }
    }
}

/// A text with the number of times that each of its lines occurs.
struct Lines<'f> {
    file: File<'f>,
    counts: BTreeMap<&'f [u8], usize>,
}

impl<'f> Lines<'f> {
    /// Takes a file apart, unless it is binary, too large, or has more lines than are `left`.
    fn of(file: File<'f>, left: &mut usize) -> Option<Self> {
        if file.bytes.len() > FILE_LIMIT || file.bytes.contains(&0) {
            return None;
        }
        let mut counts: BTreeMap<&[u8], usize> = BTreeMap::new();
        let lines = file.bytes.split_inclusive(|byte| *byte == b'\n');
        *left = left.checked_sub(lines.clone().count())?;
        lines.for_each(|line| *counts.entry(line).or_default() += 1);
        Some(Self { file, counts })
    }

    /// Returns the share of the larger of two files that both have in common, in percent of bytes.
    fn similarity(&self, other: &Self) -> usize {
        let larger = self.file.bytes.len().max(other.file.bytes.len());
        let common = |(line, count): (&&[u8], &usize)| line.len() * other.counts.get(line).unwrap_or(&0).min(count);
        self.counts.iter().map(common).sum::<usize>() * 100 / larger.max(1)
    }
}

/// Leads from a line and from a file name to the files that have it.
struct Index<'f> {
    lines: BTreeMap<&'f [u8], Vec<usize>>,
    names: BTreeMap<&'f str, Vec<usize>>,
}

impl<'f> Index<'f> {
    fn of(files: &[Lines<'f>]) -> Self {
        let mut index = Self { lines: BTreeMap::new(), names: BTreeMap::new() };
        for (at, file) in files.iter().enumerate() {
            // One more than is used, so that a line that too many files share is known.
            let push = |to: &mut Vec<usize>| {
                if to.len() <= CANDIDATES {
                    to.push(at);
                }
            };
            file.counts.keys().for_each(|line| push(index.lines.entry(line).or_default()));
            push(index.names.entry(file.file.name()).or_default());
        }
        index
    }

    /// Returns the files that are compared with `file`: those that share the most bytes of rare lines, and those of the same name.
    fn candidates(&self, file: &Lines<'_>) -> BTreeSet<usize> {
        let mut shared: BTreeMap<usize, usize> = BTreeMap::new();
        for line in file.counts.keys() {
            let files = self.lines.get(line).filter(|files| files.len() <= CANDIDATES);
            files.into_iter().flatten().for_each(|at| *shared.entry(*at).or_default() += line.len());
        }
        let mut best: Vec<_> = shared.into_iter().map(|(at, bytes)| (std::cmp::Reverse(bytes), at)).collect();
        best.sort_unstable();
        let best = best.into_iter().take(CANDIDATES).map(|(_, at)| at);
        best.chain(self.names.get(file.file.name()).into_iter().flatten().take(CANDIDATES).copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> Files {
        files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect()
    }

    fn renames(from: &[(&str, &str)], to: &[(&str, &str)]) -> Vec<String> {
        let (from, to) = (tree(from), tree(to));
        of(&from, &to, &mut 1000).into_iter().map(|(new, old)| format!("{old} -> {new}")).collect()
    }

    #[test]
    fn a_file_with_half_of_its_lines_in_another_place_is_renamed() {
        let old = [("a.yaml", "1111\n2222\n3333\n4444\n")];
        assert_eq!(renames(&old, &[("b.yaml", old[0].1)]), ["a.yaml -> b.yaml"]);
        assert_eq!(renames(&old, &[("b.yaml", "1111\n2222\nxxxx\nyyyy\n")]), ["a.yaml -> b.yaml"]);
        assert_eq!(renames(&old, &[("b.yaml", "1111\nwwww\nxxxx\nyyyy\n")]), [""; 0]);
        assert_eq!(renames(&old, &[("a.yaml", old[0].1), ("b.yaml", old[0].1)]), [""; 0], "a copy is a new file");
    }

    #[test]
    fn the_most_similar_file_and_then_the_one_of_the_same_name_is_the_old_one() {
        let text = "1111\n2222\n3333\n4444\n";
        let old = [("a/x.yaml", text), ("a/y.yaml", text), ("b.yaml", "1111\n2222\n3333\nnear\n")];
        let new = [("c/y.yaml", text), ("c/z.yaml", text), ("d.yaml", "1111\n2222\nmine\nnear\n")];
        assert_eq!(renames(&old, &new), ["a/y.yaml -> c/y.yaml", "a/x.yaml -> c/z.yaml", "b.yaml -> d.yaml"]);
    }

    #[test]
    fn empty_and_binary_files_are_renamed_by_all_of_their_bytes_or_not_at_all() {
        assert_eq!(renames(&[("a", "")], &[("b", "")]), [""; 0]);
        assert_eq!(renames(&[("a", "x\n\0\n")], &[("b", "x\n\0\n")]), ["a -> b"]);
        assert_eq!(renames(&[("a", "x\n\0\n")], &[("b", "x\n\0\ny\n")]), [""; 0]);
    }

    #[test]
    fn thousands_of_files_that_share_their_lines_are_compared_with_a_few_each() {
        let text =
            |n: usize, word: &str| format!("{}{word} {n} of many files\n", "the same in all of them\n".repeat(40));
        let files = |directory: &str, word: &str| -> Files {
            let file = |n: usize| (format!("{directory}/{:04}.yaml", (n * 7) % 5000), text(n, word).into_bytes());
            (0..5000).map(file).collect()
        };
        let (from, to) = (files("old", "a"), files("new", "b"));
        let found = of(&from, &to, &mut 500_000);
        assert_eq!(found.len(), 5000);
        assert!(found.iter().all(|(new, old)| new[4..] == old[4..]), "by their names: their own lines differ");
        assert_eq!(of(&from, &to, &mut 100), BTreeMap::new(), "beyond the limit no line is compared");
    }
}
