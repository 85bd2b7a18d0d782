//! The differences of the registries in use from the specification and from each other.

use super::auth::{Auth, Tokens};
use super::wire::Response;
use super::{Elsewhere, Setup};

/// The effect of `POST …/uploads/?mount=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mount {
    /// Finds the blob in any repository.
    Anywhere,
    /// Mounts only together with `from`; otherwise starts an upload.
    From,
    /// Always starts an upload.
    Never,
}

/// The form of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The form of the specification.
    Oci,
    /// The form of the specification, with a code that it does not define.
    UnknownCode,
    /// An HTML page for people.
    Html,
}

/// The answer to `GET …/referrers/<digest>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Referrers {
    /// Answers 404.
    Absent,
    /// Lists the referrers.
    Listed,
    /// Lists the referrers without their artifact types.
    WithoutType,
    /// Lists a hundred invented referrers on each page, and there is always another page.
    Endless,
}

/// The order and paging of a list of tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tags {
    /// Sorted by bytes, starting after `last`.
    Sorted,
    /// Sorted by bytes. A `last` that is not a tag is refused.
    KnownLast,
    /// Sorted, always from the first tag on. The next page has another parameter.
    WithoutLast,
    /// Not sorted. A list starts after the position of `last`, or at the beginning if `last` is not a tag.
    Unordered,
    /// Every page is the first one.
    Repeated,
    /// Sorted pages, the last one first.
    Backwards,
    /// The first page leads to the second one, and the second one to the first one.
    Circle,
    /// One more tag on each page, in order, without end.
    Endless,
}

/// A rule against moving tags, in the words of its registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Immutable {
    pub status: u16,
    /// Error code; empty if the registry sends none.
    pub code: &'static str,
    /// Message with the placeholders `{repository}` and `{tag}`.
    pub message: &'static str,
    /// Whether the rule applies to the tags of channels. It always applies to versions.
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
    /// A rule without an explanation.
    pub const BARE: Self = Self { status: 409, code: "CONFLICT", message: "conflict", channels: false };

    /// Returns the same rule for every tag.
    pub fn of_channels(self) -> Self {
        Self { channels: true, ..self }
    }

    /// Returns the message of the registry.
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

/// The differences of one registry.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each one is a difference that exists by itself")]
pub struct Quirks {
    pub name: &'static str,
    pub mount: Mount,
    /// Whether `Location` has scheme and host. Otherwise it is a path.
    pub absolute: bool,
    /// Whether `POST …/uploads/?digest=` with the whole blob completes an upload. Otherwise the body is ignored.
    pub single_post: bool,
    /// Largest piece of a chunked upload, in bytes.
    pub patch_limit: Option<usize>,
    /// Whether the last piece of a chunked upload is answered as if the upload was complete.
    pub early_created: bool,
    /// Whether responses have `Docker-Content-Digest`.
    pub says_digest: bool,
    /// Whether `HEAD` states another length than `GET`.
    pub wrong_head_length: bool,
    /// Whether an anonymous request for a missing repository is answered with 403 instead of 404.
    pub absent_is_denied: bool,
    /// Whether repositories must be created before a push.
    pub must_exist: bool,
    /// Whether new repositories can only be read by their owners.
    pub private: bool,
    /// Whether manifests must state their media type.
    pub needs_media_type: bool,
    /// A rule against writing existing tags again.
    pub immutable: Option<Immutable>,
    pub deletes: bool,
    /// Whether a blob under a digest is kept when the digest is pushed again.
    pub keeps_blobs: bool,
    pub referrers: Referrers,
    /// Most tags of one page. A request for more is an error.
    pub tag_page: Option<usize>,
    pub tags: Tags,
    /// Whether digests are listed among the tags.
    pub digests_as_tags: bool,
    pub shape: Shape,
}

impl Default for Quirks {
    /// Returns a registry that follows the specification.
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
    /// GHCR: opaque tokens, small pieces, blobs on another host, no referrers, no deletion, new packages are private.
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

    /// Harbor: signed tokens, absolute locations, lengths that differ, codes of its own, immutable tags.
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

    /// Distribution 2, which is `docker-registry` in Debian.
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

    /// Distribution 3, behind a token server that speaks OAuth 2.
    pub fn distribution3() -> Self {
        Self { name: "distribution 3", ..Self::distribution2() }
    }

    /// ECR: Basic, repositories must exist before a push, small pages, manifests with their media type, immutable tags.
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

    /// GitLab: tokens from another host, one scope for each token.
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

    /// Artifactory: no digest in headers, digests among the tags, HTML pages for errors.
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

    /// Returns all imitated registries.
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

    /// Returns the configuration of a registry with these differences, and its usual authentication for `username` and
    /// `password`.
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
