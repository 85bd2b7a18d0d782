//! How the registries in use differ from the specification and from each other.

use super::auth::{Auth, Tokens};
use super::wire::Response;
use super::{Elsewhere, Setup};

/// What `POST …/uploads/?mount=` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mount {
    /// Finds the blob in any repository.
    Anywhere,
    /// Only together with `from`; else an upload starts.
    From,
    /// An upload starts.
    Never,
}

/// What errors look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// As the specification has them.
    Oci,
    /// The right shape, and a code that no specification knows.
    UnknownCode,
    /// A page for people.
    Html,
}

/// What `GET …/referrers/<digest>` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referrers {
    /// 404.
    Absent,
    /// Lists them.
    Listed,
    /// Lists them, and the artifact type is lost on the way.
    WithoutType,
    /// Lists a hundred made-up ones on each page, and there is always one page more.
    Endless,
}

/// How tags are listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tags {
    /// Sorted by their bytes, from the one after `last` on.
    Sorted,
    /// The same, and a `last` that is no tag is refused.
    KnownLast,
    /// Sorted, always from the first one on: the next page has another parameter.
    WithoutLast,
    /// In no order. A list begins after the place of `last`, and at the start where that is no tag.
    Unordered,
    /// Every page is the first one.
    Repeated,
    /// Sorted pages, the last one first.
    Backwards,
    /// The first page leads to the second one, and the second one to the first one.
    Circle,
    /// One tag more on each page, in order, without end.
    Endless,
}

/// A rule that keeps what a tag names, in the words of its registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Immutable {
    pub status: u16,
    /// Empty where the registry has none.
    pub code: &'static str,
    /// With `{repository}` and `{tag}` in it.
    pub message: &'static str,
    /// Do the tags of channels fall under it, too? Versions do.
    pub channels: bool,
}

impl Immutable {
    pub const HARBOR: Self = Self {
        status: 412,
        code: "PRECONDITION",
        message: "Failed to process request due to '{repository}:{tag}' configured as immutable.",
        channels: false,
    };
    pub const ECR: Self = Self {
        status: 400,
        code: "TAG_INVALID",
        message: "The image tag '{tag}' already exists in the '{repository}' repository and cannot be overwritten because the \
                  repository is immutable.",
        channels: false,
    };
    pub const QUAY: Self =
        Self { status: 409, code: "TAG_IMMUTABLE", message: "tag {tag} is immutable", channels: false };
    pub const ARTIFACTORY: Self = Self {
        status: 403,
        code: "",
        message: "Not enough permissions to delete/overwrite artifact '{repository}/{tag}/manifest.json' (user: 'alice' needs \
                  DELETE permission).",
        channels: false,
    };
    /// A rule that is not explained.
    pub const BARE: Self = Self { status: 409, code: "CONFLICT", message: "conflict", channels: false };

    /// The same for every tag.
    pub fn of_channels(self) -> Self {
        Self { channels: true, ..self }
    }

    /// What the registry says.
    pub fn words(self, repository: &str, tag: &str) -> String {
        self.message.replace("{repository}", repository).replace("{tag}", tag)
    }

    pub(super) fn refusal(self, repository: &str, tag: &str) -> Response {
        let mut error = serde_json::json!({ "message": self.words(repository, tag) });
        if self.code.is_empty() {
            error["status"] = self.status.into();
        } else {
            error["code"] = self.code.into();
        }
        Response::new(self.status).body("application/json", serde_json::json!({ "errors": [error] }).to_string())
    }
}

/// Where a registry is itself.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each one is a difference that exists by itself")]
pub struct Quirks {
    pub name: &'static str,
    pub mount: Mount,
    /// `Location` with scheme and host, else a path.
    pub absolute: bool,
    /// Is `POST …/uploads/?digest=` with the whole blob an upload? Else the body is wasted.
    pub single_post: bool,
    /// The largest piece of a chunked upload.
    pub patch_limit: Option<usize>,
    /// The last piece of a chunked upload is answered as if the upload was complete.
    pub early_created: bool,
    /// Is there a `Docker-Content-Digest` where it belongs?
    pub says_digest: bool,
    /// `HEAD` says another length than `GET`.
    pub wrong_head_length: bool,
    /// Who asks for an absent repository without being known is told that it is forbidden, not that it is absent.
    pub absent_is_denied: bool,
    /// Repositories are made by other means than pushing.
    pub must_exist: bool,
    /// New repositories are for their owners alone.
    pub private: bool,
    /// Manifests must say their media type.
    pub needs_media_type: bool,
    /// A tag that is there is not written again.
    pub immutable: Option<Immutable>,
    pub deletes: bool,
    /// What is there under a digest is kept when the digest is pushed again.
    pub keeps_blobs: bool,
    pub referrers: Referrers,
    /// More tags at once is an error.
    pub tag_page: Option<usize>,
    pub tags: Tags,
    /// Digests are listed among the tags.
    pub digests_as_tags: bool,
    pub shape: Shape,
}

impl Default for Quirks {
    /// As kind to clients as the specification allows.
    fn default() -> Self {
        Self {
            name: "specification",
            mount: Mount::Anywhere,
            absolute: false,
            single_post: true,
            patch_limit: None,
            early_created: false,
            says_digest: true,
            wrong_head_length: false,
            absent_is_denied: false,
            must_exist: false,
            private: false,
            needs_media_type: false,
            immutable: None,
            deletes: true,
            keeps_blobs: false,
            referrers: Referrers::Listed,
            tag_page: None,
            tags: Tags::Sorted,
            digests_as_tags: false,
            shape: Shape::Oci,
        }
    }
}

impl Quirks {
    /// GitHub's: opaque tokens, small pieces, blobs on another host, no referrers, no deletion, new packages private.
    pub fn ghcr() -> Self {
        Self {
            name: "ghcr",
            mount: Mount::Never,
            single_post: false,
            patch_limit: Some(4 << 20),
            private: true,
            absent_is_denied: true,
            deletes: false,
            referrers: Referrers::Absent,
            tags: Tags::Unordered,
            ..Self::default()
        }
    }

    /// Harbor: signed tokens, absolute places, lengths that disagree, codes of its own, immutable tags.
    pub fn harbor() -> Self {
        Self {
            name: "harbor",
            mount: Mount::From,
            absolute: true,
            single_post: false,
            wrong_head_length: true,
            immutable: Some(Immutable::HARBOR),
            tags: Tags::KnownLast,
            shape: Shape::UnknownCode,
            ..Self::default()
        }
    }

    /// `docker-registry` 2.
    pub fn distribution2() -> Self {
        Self {
            name: "distribution 2",
            mount: Mount::From,
            absolute: true,
            single_post: false,
            referrers: Referrers::Absent,
            ..Self::default()
        }
    }

    /// `docker-registry` 3, behind a token server that speaks OAuth 2.
    pub fn distribution3() -> Self {
        Self { name: "distribution 3", ..Self::distribution2() }
    }

    /// Amazon's: Basic, repositories are made beforehand, small pages, manifests with their media type, immutable tags.
    pub fn ecr() -> Self {
        Self {
            name: "ecr",
            mount: Mount::Never,
            absolute: true,
            single_post: false,
            early_created: true,
            must_exist: true,
            needs_media_type: true,
            immutable: Some(Immutable::ECR),
            tag_page: Some(1000),
            ..Self::default()
        }
    }

    /// GitLab's: tokens from another host, one scope a token.
    pub fn gitlab() -> Self {
        Self {
            name: "gitlab",
            mount: Mount::From,
            absolute: true,
            single_post: false,
            absent_is_denied: true,
            referrers: Referrers::Absent,
            ..Self::default()
        }
    }

    /// Artifactory: no digest in headers, digests among the tags, pages for errors.
    pub fn artifactory() -> Self {
        Self {
            name: "artifactory",
            absolute: true,
            single_post: false,
            says_digest: false,
            digests_as_tags: true,
            referrers: Referrers::WithoutType,
            shape: Shape::Html,
            ..Self::default()
        }
    }

    /// Every set.
    pub fn all() -> [Self; 7] {
        [
            Self::ghcr(),
            Self::harbor(),
            Self::distribution2(),
            Self::distribution3(),
            Self::ecr(),
            Self::gitlab(),
            Self::artifactory(),
        ]
    }

    /// A registry with these, and the way in that goes with them, for `username` and `password`.
    pub fn setup(self, username: &str, password: &str) -> Setup {
        let user = Some((username.to_owned(), password.to_owned()));
        let token = Auth::Token { realm: None, user };
        let basic = Auth::Basic { username: username.to_owned(), password: password.to_owned() };
        let (auth, tokens, elsewhere) = match self.name {
            "ghcr" => (token, Tokens::default(), Elsewhere { blobs: true, ..Elsewhere::default() }),
            "harbor" => {
                let tokens = Tokens { jwt: true, uses: Some(40), expires_in: Some(1800), ..Tokens::default() };
                (token, tokens, Elsewhere::default())
            }
            "distribution 3" => {
                let tokens = Tokens {
                    jwt: true,
                    key: "access_token",
                    expires_in: Some(60),
                    uses: Some(30),
                    ..Tokens::default()
                };
                (token, tokens, Elsewhere::default())
            }
            "gitlab" => {
                let tokens = Tokens { jwt: true, last_scope: true, ..Tokens::default() };
                (token, tokens, Elsewhere { tokens: true, tls: true, ..Elsewhere::default() })
            }
            "ecr" | "artifactory" => (basic, Tokens::default(), Elsewhere::default()),
            _ => (Auth::Open, Tokens::default(), Elsewhere::default()),
        };
        Setup { auth, tokens, elsewhere, quirks: self, ..Setup::default() }
    }
}
