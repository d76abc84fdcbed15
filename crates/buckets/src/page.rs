//! One page of a listing, as the service wrote it.
//!
//! Promise: keys are given as they are, whatever characters they have; a document that is no listing, or
//! that ends early, is an error. It follows no page: see `listing.rs`.

use quick_xml::Reader;
use quick_xml::escape::resolve_predefined_entity;
use quick_xml::events::Event;

/// The root of a listing, of S3 and Google.
const ROOT: &str = "ListBucketResult";
/// The root of a listing of Azure.
const AZURE_ROOT: &str = "EnumerationResults";

/// An object as a listing names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedObject {
    /// Its key, which may end in `/`.
    pub key: String,
    /// Its size; `None` when the listing does not say a number.
    pub size: Option<u64>,
    /// What tells its contents from others, as the service wrote it.
    pub e_tag: Option<String>,
    /// When it was put, as the service wrote it: RFC 3339, of Azure RFC 2822.
    pub last_modified: Option<String>,
}

/// What one answer to a request for a listing holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Objects, in the order of the service.
    pub objects: Vec<ListedObject>,
    /// What stands before the delimiter in the keys of other objects, with the delimiter.
    pub prefixes: Vec<String>,
    /// Whether there are more pages; `None` when the service does not say it.
    pub is_truncated: Option<bool>,
    /// What the request for the next page has to say.
    pub next: Option<String>,
    pub(crate) is_azure: bool,
}

impl Page {
    /// The key of the first object on it.
    pub(crate) fn first_key(&self) -> Option<&str> {
        self.objects.first().map(|object| object.key.as_str())
    }

    /// Whether there is any name on it.
    pub(crate) fn has_names(&self) -> bool {
        !self.objects.is_empty() || !self.prefixes.is_empty()
    }

    /// Reads the body of an answer.
    ///
    /// # Errors
    /// In words, when it is not one whole listing.
    pub(crate) fn read(body: &[u8]) -> Result<Self, String> {
        let text = std::str::from_utf8(body).map_err(|_| "it is not UTF-8".to_owned())?;
        let mut reader = Reader::from_str(text.strip_prefix('\u{feff}').unwrap_or(text));
        let (mut page, mut path, mut words) = (Self::default(), Vec::new(), String::new());
        let mut is_whole = false;
        loop {
            match reader.read_event().map_err(|error| error.to_string())? {
                Event::Start(start) => {
                    let name = start.local_name().as_ref().to_owned();
                    if path.is_empty() && name != ROOT && name != AZURE_ROOT {
                        return Err(format!("it is `{name}`, not a listing"));
                    }
                    if page.is_azure && name == "Name" && start.attributes().next().is_some() {
                        return Err("it has an encoded key, which is not read".to_owned());
                    }
                    page.begins(&path, &name);
                    path.push(name);
                    words.clear();
                }
                Event::Empty(start) if path == [AZURE_ROOT] => {
                    let name = start.local_name().as_ref().to_owned();
                    if name == "NextMarker" {
                        page.is_truncated = Some(false);
                    }
                }
                Event::Empty(start) if path.is_empty() => {
                    let name = start.local_name().as_ref().to_owned();
                    if name != ROOT {
                        return Err(format!("it is `{name}`, not a listing"));
                    }
                    is_whole = true;
                }
                Event::End(_) => {
                    page.ends(&path, &mut words)?;
                    path.pop();
                    is_whole |= path.is_empty();
                }
                Event::Text(text) => words.push_str(&text.xml10_content()),
                Event::CData(text) => words.push_str(&text.xml10_content()),
                Event::GeneralRef(reference) => {
                    let letter = reference
                        .resolve_char_ref()
                        .map_err(|error| error.to_string())?;
                    match (letter, resolve_predefined_entity(&reference)) {
                        (Some(letter), _) => words.push(letter),
                        (None, Some(text)) => words.push_str(text),
                        (None, None) => return Err("it has an unknown entity".to_owned()),
                    }
                }
                Event::Eof => break,
                _ => {}
            }
        }
        match is_whole && path.is_empty() {
            true => Ok(page),
            false => Err("it ends early".to_owned()),
        }
    }

    fn begins(&mut self, path: &[String], name: &str) {
        let parents: Vec<&str> = path.iter().map(String::as_str).collect();
        if matches!(
            (&*parents, name),
            ([ROOT], "Contents") | ([AZURE_ROOT, "Blobs"], "Blob")
        ) {
            self.objects.push(ListedObject::default());
        }
        self.is_azure |= parents.is_empty() && name == AZURE_ROOT;
    }

    fn ends(&mut self, path: &[String], words: &mut String) -> Result<(), String> {
        let words = std::mem::take(words);
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        if self.is_azure {
            self.ends_of_azure(&path, words);
            return Ok(());
        }
        let object = self.objects.last_mut();
        match (path.as_slice(), object) {
            ([_, "Contents", "Key"], Some(object)) => object.key = words,
            ([_, "Contents", "ETag"], Some(object)) => object.e_tag = Some(words),
            ([_, "Contents", "LastModified"], Some(object)) => object.last_modified = Some(words),
            ([_, "Contents", "Size"], Some(object)) => object.size = words.trim().parse().ok(),
            ([_, "CommonPrefixes", "Prefix"], _) => self.prefixes.push(words),
            ([_, "IsTruncated"], _) => {
                self.is_truncated = Some(match words.trim() {
                    "true" => true,
                    "false" => false,
                    _ => return Err("`IsTruncated` is neither true nor false".to_owned()),
                });
            }
            ([_, "NextContinuationToken"], _) => {
                self.next = Some(words).filter(|token| !token.is_empty());
            }
            ([_, "EncodingType"], _) if !words.is_empty() => {
                return Err("its keys are encoded, which was not asked for".to_owned());
            }
            _ => {}
        }
        Ok(())
    }

    fn ends_of_azure(&mut self, path: &[&str], words: String) {
        let object = self.objects.last_mut();
        match (path, object) {
            ([_, "Blobs", "Blob", "Name"], Some(object)) => object.key = words,
            ([_, "Blobs", "Blob", "Properties", name], Some(object)) => match *name {
                "Etag" => object.e_tag = Some(words),
                "Content-Length" => object.size = words.trim().parse().ok(),
                "Last-Modified" => object.last_modified = Some(words),
                // An account with folders lists them as if they were objects without bytes.
                "ResourceType" if words == "directory" => object.key.push('/'),
                _ => {}
            },
            ([_, "Blobs", "BlobPrefix", "Name"], _) => self.prefixes.push(words),
            ([_, "NextMarker"], _) => {
                self.is_truncated = Some(!words.is_empty());
                self.next = Some(words).filter(|marker| !marker.is_empty());
            }
            _ => {}
        }
    }

    /// A page without names that leads to the next one as this page does.
    pub(crate) fn without_names(&self) -> String {
        let next = self.next.as_deref().map(quick_xml::escape::escape);
        if self.is_azure {
            let next = next.unwrap_or_default();
            return format!(
                "<{AZURE_ROOT}><Blobs></Blobs><NextMarker>{next}</NextMarker></{AZURE_ROOT}>"
            );
        }
        let next = next.map_or_else(String::new, |token| {
            format!("<NextContinuationToken>{token}</NextContinuationToken>")
        });
        format!("<{ROOT}>{next}</{ROOT}>")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    const WHOLE: &str = "<?xml version=\"1.0\"?>\n<ListBucketResult xmlns=\"http://s3\"><Name>b</Name>\
        <Prefix>a</Prefix><IsTruncated>true</IsTruncated>\
        <Contents><Key> a b%20+&amp;\u{fc}//.csv</Key><Size>7</Size><ETag>&quot;x&quot;</ETag>\
        <Owner><ID>me</ID></Owner></Contents>\
        <Contents><Key>f/</Key><Size>0</Size></Contents>\
        <CommonPrefixes><Prefix>a/&lt;/</Prefix></CommonPrefixes>\
        <NextContinuationToken>t&amp;1</NextContinuationToken></ListBucketResult>";

    #[test]
    fn keys_are_as_they_are() {
        let page = Page::read(WHOLE.as_bytes()).unwrap();
        assert_eq!(page.objects[0].key, " a b%20+&\u{fc}//.csv");
        assert_eq!(page.objects[0].size, Some(7));
        assert_eq!(page.objects[0].e_tag.as_deref(), Some("\"x\""));
        assert_eq!(page.objects[1].key, "f/");
        assert_eq!(page.prefixes, ["a/</"]);
        assert_eq!(page.is_truncated, Some(true));
        assert_eq!(page.next.as_deref(), Some("t&1"));
        let next = Page::read(page.without_names().as_bytes()).unwrap();
        assert_eq!((next.next, next.objects.len()), (page.next, 0));
    }

    #[test]
    fn pages_of_azure_are_read() {
        let page = |next: &str| {
            format!(
                "\u{feff}<?xml version=\"1.0\"?><EnumerationResults ServiceEndpoint=\"x\"><Prefix>a</Prefix><Blobs>\
                 <Blob><Name>a/x &amp; y.csv</Name><Properties><Last-Modified>Mon, 30 Nov 2026 07:00:00 GMT</Last-Modified>\
                 <Etag>0x8D</Etag><Content-Length>7</Content-Length></Properties></Blob>\
                 <Blob><Name>a/d.csv</Name><Properties><ResourceType>directory</ResourceType>\
                 <Content-Length>0</Content-Length></Properties></Blob>\
                 <BlobPrefix><Name>a/b/</Name></BlobPrefix></Blobs>{next}</EnumerationResults>"
            )
        };
        let more = Page::read(page("<NextMarker>2!x</NextMarker>").as_bytes()).unwrap();
        assert_eq!(
            (more.is_truncated, more.next.as_deref()),
            (Some(true), Some("2!x"))
        );
        let keys: Vec<&str> = more.objects.iter().map(|object| &*object.key).collect();
        assert_eq!(keys, ["a/x & y.csv", "a/d.csv/"]);
        let object = &more.objects[0];
        assert_eq!(
            (object.size, object.e_tag.as_deref()),
            (Some(7), Some("0x8D"))
        );
        assert_eq!(more.prefixes, ["a/b/"]);
        let next = Page::read(more.without_names().as_bytes()).unwrap();
        assert_eq!((next.next, next.objects.len()), (more.next, 0));
        for end in ["<NextMarker />", "<NextMarker></NextMarker>"] {
            let last = Page::read(page(end).as_bytes()).unwrap();
            assert_eq!((last.is_truncated, last.next), (Some(false), None), "{end}");
        }
        assert_eq!(Page::read(page("").as_bytes()).unwrap().is_truncated, None);
        let cut = page("<NextMarker />").replace("</EnumerationResults>", "");
        assert!(Page::read(cut.as_bytes()).is_err());
        let encoded = page("<NextMarker />").replace("<Name>a/x", "<Name Encoded=\"true\">a/x");
        assert!(Page::read(encoded.as_bytes()).is_err());
    }

    #[test]
    fn what_is_not_one_whole_listing_is_refused() {
        for end in [20, 60, 200, WHOLE.len() - 1, WHOLE.len() - 20] {
            let cut = WHOLE.get(..end).unwrap();
            assert!(Page::read(cut.as_bytes()).is_err(), "{cut}");
        }
        for other in [
            "",
            "<Error><Code>InternalError</Code></Error>",
            "<html></html>",
            "not XML",
            "<ListBucketResult><IsTruncated>perhaps</IsTruncated></ListBucketResult>",
            "<ListBucketResult><EncodingType>url</EncodingType></ListBucketResult>",
        ] {
            assert!(Page::read(other.as_bytes()).is_err(), "{other}");
        }
    }
}
