//! Listing tags. A repository may hold a hundred thousand of them, so a list begins right before the tags that are asked for and ends
//! behind them: where the registry sends its tags in the order of their bytes, which is checked on all that it sends.

use super::auth::Access;
use super::client::{Answer, Operation};
use super::error::{self, Refusal, kind_of};
use super::pages::Pages;
use super::{Error, Registry, Repository};
use crate::oci::{Kind, Tag};
use crate::text::shown;

/// Tags that are asked for at once: the most that every registry takes.
const PAGE: usize = 1000;
/// Largest number of tags that are returned.
const TAGS: usize = 1_000_000;
/// Sorts before nearly every tag, and names none: what a registry sends from there on shows whether it knows order.
const FIRST: &str = "0";

/// What a list of tags came to that began behind a name.
enum Listed {
    /// All tags with the prefix.
    Tags(Vec<Tag>),
    /// The registry sent no tag at all.
    Nothing,
    /// The registry does not begin behind that name, or does not sort: the whole list has to be read.
    Unordered,
}

impl Registry {
    /// Returns the tags that start with `prefix`, in the registry's order. Names that are not valid tags are left out: some registries list
    /// digests.
    pub(crate) async fn tags(&self, repository: &Repository, prefix: &str) -> Result<Vec<Tag>, Error> {
        let operation = self.operation("listing the tags of", repository, "", Access::Pull);
        // Without its last character, the prefix sorts before every tag with it and behind nearly all others. For a channel's tags that
        // is the channel itself: Harbor takes no `last` that is not a tag.
        let before = prefix.char_indices().next_back().map_or("", |(end, _)| &prefix[..end]);
        if !before.is_empty() {
            match self.list(&operation, before, prefix).await? {
                Listed::Tags(tags) => return Ok(tags),
                Listed::Nothing if self.sorts_tags(&operation).await? => return Ok(Vec::new()),
                Listed::Nothing | Listed::Unordered => {}
            }
        }
        match self.list(&operation, "", prefix).await? {
            Listed::Tags(tags) => Ok(tags),
            Listed::Nothing | Listed::Unordered => Ok(Vec::new()),
        }
    }

    /// Lists tags from the one after `last` on; all of them where that is empty.
    async fn list(&self, operation: &Operation, last: &str, prefix: &str) -> Result<Listed, Error> {
        let mut pages = Pages::new(self, operation, &first_page(last));
        let (mut order, mut found) = (Order::Begun(last.to_owned()), Vec::new());
        let mut is_whole = last.is_empty();
        while let Some(answer) = pages.next().await? {
            if takes_no_last(last, &answer) {
                return Ok(Listed::Unordered);
            }
            let names = names(operation, &answer)?;
            order.check(operation, &names)?;
            // No list that begins behind a name has that name: this registry ignores `last`, and sends the whole list.
            is_whole |= names.iter().any(|name| name == last);
            if order == Order::None && !is_whole {
                return Ok(Listed::Unordered);
            }
            let wanted = names.iter().filter(|name| name.starts_with(prefix));
            found.extend(wanted.filter_map(|name| name.parse::<Tag>().ok()));
            if found.len() > TAGS {
                return Err(operation.error(Kind::TooLarge, format!("more than {TAGS} tags start with `{prefix}`")));
            }
            if order.is_beyond(prefix) {
                break;
            }
        }
        let nothing = !last.is_empty() && matches!(order, Order::Begun(_));
        Ok(if nothing { Listed::Nothing } else { Listed::Tags(found) })
    }

    /// Returns whether the registry starts a list after a name that does not exist as a tag, and sorts. Only then an empty answer says that there
    /// are no such tags.
    async fn sorts_tags(&self, operation: &Operation) -> Result<bool, Error> {
        let Some(answer) = Pages::new(self, operation, &first_page(FIRST)).next().await? else { return Ok(false) };
        if !answer.status.is_success() {
            return Ok(false);
        }
        let mut order = Order::Begun(FIRST.to_owned());
        order.check(operation, &names(operation, &answer)?)?;
        Ok(matches!(order, Order::Rising(_)))
    }
}

/// The order of the tags that were sent so far.
#[derive(PartialEq, Eq)]
enum Order {
    /// None was sent; the list begins behind this name.
    Begun(String),
    /// Each sorts behind the one before it, by its bytes. This was the last one.
    Rising(String),
    /// Another order than that, or none.
    None,
}

impl Order {
    /// Takes a page in.
    ///
    /// # Errors
    /// When the pages so far are sorted and this one is before them: the list may have no end.
    fn check(&mut self, operation: &Operation, names: &[String]) -> Result<(), Error> {
        let [first, ..] = names else { return Ok(()) };
        *self = match self {
            Self::None => return Ok(()),
            _ if !names.is_sorted() => Self::None,
            Self::Begun(start) if first <= start => Self::None,
            Self::Rising(end) if first < end => {
                let [first, end] = [first, end].map(|name| shown(name));
                let reason = format!("the list runs backwards: `{first}` is on the page after `{end}`");
                return Err(operation.error(Kind::Malformed, reason));
            }
            _ => Self::Rising(names.last().unwrap_or(first).clone()),
        };
        Ok(())
    }

    /// Returns whether no tag with this prefix can follow.
    fn is_beyond(&self, prefix: &str) -> bool {
        matches!(self, Self::Rising(end) if end.as_str() > prefix && !end.starts_with(prefix))
    }
}

#[derive(serde::Deserialize)]
struct TagList {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

fn names(operation: &Operation, answer: &Answer) -> Result<Vec<String>, Error> {
    if !answer.status.is_success() {
        return Err(error::refused(operation, answer));
    }
    let list: TagList = serde_json::from_slice(&answer.body).map_err(|cause| {
        operation.error(Kind::Malformed, "the registry sent something other than tags").caused_by(cause)
    })?;
    Ok(list.tags.unwrap_or_default())
}

fn first_page(last: &str) -> String {
    if last.is_empty() { format!("tags/list?n={PAGE}") } else { format!("tags/list?n={PAGE}&last={last}") }
}

/// Returns whether the registry refuses to start a list after a name that may not exist as a tag. A missing repository is missing without `last`, too.
fn takes_no_last(last: &str, answer: &Answer) -> bool {
    let refused = answer.status.is_client_error() && kind_of(answer.status) != Kind::Denied;
    !last.is_empty() && refused && !Refusal::parse(&answer.body).has("NAME_UNKNOWN")
}
