//! What the service behind a bucket said: its code and message, out of the library's error text.
//!
//! Promise: what a person can change (credentials, rights, region, bucket) is told apart from what passes by
//! itself. The library gives most answers as text alone, so text is what is read. It knows no table
//! and no file. Read next: `settings.rs`.

use std::error::Error;

use crate::connect::Redirected;

const CLOCK: &str = "set this machine's clock: the service refuses requests whose time is off by more than 15 minutes";
const CREDENTIALS: &str = "the service does not accept these credentials: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN (Google: GOOGLE_APPLICATION_CREDENTIALS; Azure: AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN)";
const RIGHTS: &str = "allow these credentials to list and get objects there, to write also to put and delete them, or use others (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY; GOOGLE_APPLICATION_CREDENTIALS; AZURE_STORAGE_ACCOUNT_KEY)";
const REGION: &str =
    "set AWS_REGION to the region of the bucket, or AWS_ENDPOINT_URL to the service it belongs to";
const BUCKET: &str = "create the bucket, or name one that exists";
const NO_CREDENTIALS: &str = "there are no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (Google: GOOGLE_APPLICATION_CREDENTIALS; Azure: AZURE_STORAGE_ACCOUNT_KEY or AZURE_STORAGE_SAS_TOKEN), or run where the cloud gives a role";

/// Codes of services, and what to do about them.
const WAYS: [(&str, &str); 27] = [
    ("AccessDenied", RIGHTS),
    ("AccountIsDisabled", RIGHTS),
    ("AllAccessDisabled", RIGHTS),
    ("AccountProblem", RIGHTS),
    ("AuthenticationFailed", CREDENTIALS),
    ("AuthenticationRequired", CREDENTIALS),
    ("AuthorizationFailure", RIGHTS),
    ("AuthorizationPermissionMismatch", RIGHTS),
    ("AuthorizationResourceTypeMismatch", RIGHTS),
    ("AuthorizationServiceMismatch", RIGHTS),
    ("ContainerNotFound", BUCKET),
    ("InsufficientAccountPermissions", RIGHTS),
    ("ExpiredToken", CREDENTIALS),
    ("InvalidAccessKeyId", CREDENTIALS),
    ("InvalidAuthenticationInfo", CREDENTIALS),
    ("InvalidSecurity", CREDENTIALS),
    ("InvalidToken", CREDENTIALS),
    ("NoAuthenticationInformation", CREDENTIALS),
    ("SignatureDoesNotMatch", CREDENTIALS),
    ("TokenRefreshRequired", CREDENTIALS),
    ("AuthorizationHeaderMalformed", REGION),
    ("IllegalLocationConstraintException", REGION),
    ("PermanentRedirect", REGION),
    ("InvalidBucketName", BUCKET),
    ("InvalidResourceName", BUCKET),
    ("NoSuchBucket", BUCKET),
    ("RequestTimeTooSkewed", CLOCK),
];

/// Addresses at which the cloud gives credentials to its own machines.
const METADATA: [&str; 3] = [
    "http://169.254.169.254/",
    "http://169.254.170.2/",
    "http://metadata/",
];

/// The code and the message of a service, if an error text holds them.
fn answer(text: &str) -> Option<(&str, &str)> {
    let within = |name: &str| {
        let (_, after) = text.split_once(&format!("<{name}>"))?;
        Some(after.split_once(&format!("</{name}>"))?.0)
    };
    Some((within("Code")?, within("Message").unwrap_or_default()))
}

/// An error text with the service's code and message in the place of its XML, and without the signature that a URL
/// of Azure may hold; `None` where it has neither.
pub fn cleaned(text: &str) -> Option<String> {
    if let Some((code, message)) = answer(text) {
        return Some(without_signature(&format!("{code}: {message}")));
    }
    text.contains(SIGNATURE)
        .then(|| without_signature(&text.replace('\n', " ")))
}

/// How the signature of a shared access signature begins in a URL.
const SIGNATURE: &str = "sig=";

fn without_signature(text: &str) -> String {
    let mut parts = text.split(SIGNATURE);
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_of_value =
            |letter: char| letter.is_ascii_alphanumeric() || "%+/=-_.~".contains(letter);
        clean.push_str(SIGNATURE);
        clean.push('…');
        clean.push_str(part.trim_start_matches(is_of_value));
    }
    clean
}

/// True when a service says that it does not know what was asked for.
pub fn is_not_implemented(error: &(dyn Error + 'static)) -> bool {
    let text = error.to_string();
    answer(&text).is_some_and(|(code, _)| code == "NotImplemented")
        || text.contains("status code: 501")
}

/// What a person can do about an error of a service; `None` for what may pass by itself.
pub fn way_out(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<Redirected>() {
            return Some(REGION);
        }
        let text = error.to_string();
        if let Some((code, _)) = answer(&text) {
            let known = WAYS.iter().find(|(known, _)| *known == code);
            return known.map(|(_, way)| *way);
        }
        if METADATA.iter().any(|address| text.contains(address)) {
            return Some(NO_CREDENTIALS);
        }
        match error.downcast_ref::<object_store::Error>() {
            Some(object_store::Error::Unauthenticated { .. }) => return Some(CREDENTIALS),
            Some(object_store::Error::PermissionDenied { .. }) => return Some(RIGHTS),
            _ => next = error.source(),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic {
            store: "S3",
            source: text.to_owned().into(),
        }
    }

    #[test]
    fn an_answer_is_its_code_and_message_and_what_to_do() {
        let denied = generic(
            "Server returned non-2xx status code: 403 Forbidden: <?xml version=\"1.0\"?>\n<Error><Code>SignatureDoesNotMatch</Code><Message>Check your key.</Message><AWSAccessKeyId>ID</AWSAccessKeyId></Error>",
        );
        let said = cleaned(&denied.to_string());
        assert_eq!(
            said.as_deref(),
            Some("SignatureDoesNotMatch: Check your key.")
        );
        assert_eq!(way_out(&denied), Some(CREDENTIALS));
        let bucket = generic("404 Not Found: <Error><Code>NoSuchBucket</Code></Error>");
        assert_eq!(way_out(&bucket), Some(BUCKET));
        let none = generic("Error performing PUT http://169.254.169.254/latest/api/token in 1 s");
        assert_eq!(way_out(&none), Some(NO_CREDENTIALS));
    }

    #[test]
    fn a_signature_in_a_url_is_not_shown() {
        let text = "POST http://h/a/c?comp=batch&se=2099&sig=hid%2Fden%3D&x=1 in 2 s\n - 500: ";
        assert_eq!(
            cleaned(text).as_deref(),
            Some("POST http://h/a/c?comp=batch&se=2099&sig=…&x=1 in 2 s  - 500: ")
        );
        assert_eq!(cleaned("connection refused"), None);
    }

    #[test]
    fn what_may_pass_has_no_way_out() {
        for text in [
            "503: <Error><Code>SlowDown</Code><Message>x</Message></Error>",
            "500: <Error><Code>InternalError</Code><Message>x</Message></Error>",
            "error sending request: connection refused",
        ] {
            assert_eq!(way_out(&generic(text)), None, "{text}");
        }
    }
}
