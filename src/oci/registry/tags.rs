//! Lists tags. A repository may hold a hundred thousand of them. A list therefore starts right before the requested
//! tags and stops after them, where the registry sends its tags in byte order. Every page is checked for that order.

use super::auth::Access;
use super::client::{Answer, Operation};
use super::error::{self, Refusal, kind_of};
use super::pages::Pages;
use super::{Error, Registry, Repository};
use crate::oci::{Kind, Tag};
use crate::text::shown;

/// Tags for each page: the largest number that every registry accepts.
const PAGE: usize = 1000;
/// Most tags that are returned.
const TAGS: usize = 1_000_000;
/// A name that sorts before nearly every tag and is not a tag itself. A list after it shows whether the registry sorts
/// its tags.
const FIRST: &str = "0";

/// The result of listing the tags after a name.
enum Listed {
    /// All tags with the prefix.
    Tags(Vec<Tag>),
    /// The registry sent no tag at all.
    Nothing,
    /// The registry does not start the list after that name, or does not sort: the whole list must be read.
    Unordered,
}

impl Registry {
    /// Returns the tags that start with `prefix`, in the registry's order. Names that are not valid tags are left out,
    /// because some registries list digests.
    pub(crate) async fn tags(&self, repository: &Repository, prefix: &str) -> Result<Vec<Tag>, Error> {
        let operation = self.operation("list the tags of", repository, "", Access::Pull);
        // Without its last character, the prefix sorts before every tag that starts with it and after nearly all
        // others. For the tags of a channel, the result is the channel itself, as Harbor only accepts an existing tag
        // as `last`.
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

    /// Lists the tags after `last`, or all tags when `last` is empty.
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
            // A list after a name does not contain that name. This registry ignores `last` and sends the whole list.
            is_whole |= names.iter().any(|name| name == last);
            if order == Order::None && !is_whole {
                return Ok(Listed::Unordered);
            }
            let wanted = names.iter().filter(|name| name.starts_with(prefix));
            found.extend(wanted.filter_map(|name| name.parse::<Tag>().ok()));
            if found.len() > TAGS {
                return Err(operation.error(
                    Kind::TooLarge,
                    format!("more than {TAGS} tags start with `{prefix}`, which is the limit"),
                ));
            }
            if order.is_beyond(prefix) {
                break;
            }
        }
        let nothing = !last.is_empty() && matches!(order, Order::Begun(_));
        Ok(if nothing { Listed::Nothing } else { Listed::Tags(found) })
    }

    /// Returns whether the registry sorts its tags and can start a list after a name that is not a tag. Only then does
    /// an empty list mean that no such tags exist.
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

/// The order of the tags received so far.
#[derive(PartialEq, Eq)]
enum Order {
    /// No tag was received. The list starts after this name.
    Begun(String),
    /// The tags are in byte order. This is the last one.
    Rising(String),
    /// The tags are in another order.
    None,
}

impl Order {
    /// Checks the next page.
    ///
    /// # Errors
    /// When the earlier pages are sorted and this one is not after them: the list may never end.
    fn check(&mut self, operation: &Operation, names: &[String]) -> Result<(), Error> {
        let [first, ..] = names else { return Ok(()) };
        *self = match self {
            Self::None => return Ok(()),
            _ if !names.is_sorted() => Self::None,
            Self::Begun(start) if first <= start => Self::None,
            Self::Rising(end) if first < end => {
                let [first, end] = [first, end].map(|name| shown(name));
                let reason = format!("the list is not sorted: `{first}` is on the page after `{end}`");
                return Err(operation.error(Kind::Malformed, reason));
            }
            _ => Self::Rising(names.last().unwrap_or(first).clone()),
        };
        Ok(())
    }

    /// Returns whether no further tag with this prefix can follow.
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
        operation.error(Kind::Malformed, "invalid response: expected a list of tags").caused_by(cause)
    })?;
    Ok(list.tags.unwrap_or_default())
}

fn first_page(last: &str) -> String {
    if last.is_empty() { format!("tags/list?n={PAGE}") } else { format!("tags/list?n={PAGE}&last={last}") }
}

/// Returns whether the registry refuses to start a list after a name that is not a tag. A missing repository gives an
/// error without `last`, too.
fn takes_no_last(last: &str, answer: &Answer) -> bool {
    let refused = answer.status.is_client_error() && kind_of(answer.status) != Kind::Denied;
    !last.is_empty() && refused && !Refusal::parse(&answer.body).has("NAME_UNKNOWN")
}
