//! XML files: elements as rows.

use towpath_vocab::Remedy;

use super::*;

fn xml(record: &str) -> Project {
    Project::new()
        .with("format", json!("xml"))
        .with("record", json!(record))
}

fn read(project: Project, text: impl AsRef<[u8]>) -> Outcome {
    project.file("t.xml", text).read("t.xml")
}

fn messages(outcome: &Outcome) -> Vec<String> {
    let reasons = outcome.rejects.iter().flat_map(|reject| &reject.reasons);
    reasons.map(|reason| reason.text()).collect()
}

const ORDERS: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<!-- all orders -->
<shop:orders xmlns:shop="urn:shop" day="2024-01-31">
  <count>2</count>
  <order id="1" paid="true">
    <name> A &amp; B </name><at>2024-01-31T10:00:00Z</at>
    <line sku="007"><n>1.50</n></line>
    <line sku="8"><n>2</n></line>
  </order>
  <order id="2"><name><![CDATA[<C>]]>&#x21;</name><at/><gift/></order><order/>
</shop:orders>
"#;

#[test]
fn elements_are_rows() {
    let outcome = read(xml("order"), ORDERS);
    assert_eq!(
        outcome.columns,
        [
            "@id bigint",
            "@paid bool",
            "name text",
            "at timestamptz",
            "line text",
            "gift text"
        ]
    );
    assert_eq!(
        outcome.rows,
        [
            r#"1|true|A & B|2024-01-31T10:00:00Z|[{"@sku":"007","n":1.50},{"@sku":8,"n":2}]|∅"#,
            "2|∅|<C>!|∅|∅|",
            "∅|∅|∅|∅|∅|∅",
        ]
    );
    let lines: Vec<_> = (0..3).map(|row| outcome.place(row).line).collect();
    assert_eq!(lines, [Some(5), Some(10), Some(10)]);
    assert_eq!(text(&outcome.raw(2)), "<order/>");
    let path = read(xml("/orders/order"), ORDERS);
    assert_eq!(path.rows, outcome.rows);
    let prefixed = read(xml("/shop:orders/order"), ORDERS);
    assert_eq!(prefixed.rows, outcome.rows);
    // Any pieces and any packing are the same.
    let small = xml("order").file("t.xml.gz", gzip(ORDERS.as_bytes()));
    let spec = ReadSpec {
        batch_bytes: 64,
        batch_rows: 1,
        ..spec("t.xml.gz")
    };
    assert_eq!(small.read_as(&spec).rows, outcome.rows);
}

#[test]
fn missing_nil_and_empty_are_told_apart_in_texts() {
    let outcome = read(
        xml("i").with("null_values", json!(["n/a"])),
        r#"<r xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<i><t>x</t><n>1</n></i><i><t/><n/></i><i><t></t><n></n></i><i><t xsi:nil="true"/><n xsi:nil="1"/></i><i/>
<i><t> </t><n> 2 </n></i><i t="" ><n>n/a</n></i></r>"#,
    );
    assert_eq!(outcome.columns, ["t text", "n bigint", "@t text"]);
    assert_eq!(
        outcome.rows,
        ["x|1|∅", "|∅|∅", "|∅|∅", "∅|∅|∅", "∅|∅|∅", "|2|∅", "∅|∅|"]
    );
    let kept = read(
        xml("i").with("trim", json!(false)),
        "<r><i><t> x </t></i><i><t>  </t></i></r>",
    );
    assert_eq!(kept.rows, [" x ", "  "]);
    let preserved = read(xml("i"), "<r><i><t xml:space='preserve'> x </t></i></r>");
    assert_eq!(preserved.rows, [" x "]);
    let words = read(
        xml("i").with("null_values", json!([""])),
        "<r><i><t/></i><i><t>x</t></i></r>",
    );
    assert_eq!(words.rows, ["∅", "x"]);
}

#[test]
fn numbers_and_dates_are_found_as_in_text_files() {
    let outcome = read(
        xml("i"),
        "<r><i a='007' b='1,5' c='31.12.2024'><d>1.10</d></i><i a='8' b='2,25' c='01.01.2025'><d>2.00</d></i></r>",
    );
    assert_eq!(
        outcome.columns,
        ["@a text", "@b double", "@c date", "d decimal(18,2)"]
    );
    assert_eq!(
        outcome.rows,
        ["007|1.5|2024-12-31|1.10", "8|2.25|2025-01-01|2.00"]
    );
}

#[test]
fn namespaces_are_dropped_or_kept() {
    let text = "<f xmlns='a' xmlns:m='m'><e m:id='1'><title>T</title><m:rating>5</m:rating></e>\
                <e><title>U</title><m:title>V</m:title></e></f>";
    let outcome = read(xml("e"), text);
    assert_eq!(
        outcome.columns,
        ["@id bigint", "title text", "rating bigint"]
    );
    assert_eq!(
        (outcome.rows, outcome.rejects.len()),
        (vec!["1|T|5".to_owned()], 1)
    );
    let outcome = read(xml("e"), text);
    assert!(
        messages(&outcome)[0].contains("`title` and `m:title`"),
        "{outcome:?}"
    );
    assert!(
        messages(&outcome)[0].contains("`prefixes: keep`"),
        "{outcome:?}"
    );
    let kept = read(xml("e").with("prefixes", json!("keep")), text);
    assert_eq!(
        kept.columns,
        [
            "@m:id bigint",
            "title text",
            "m:rating bigint",
            "m:title text"
        ]
    );
    assert_eq!(kept.rows, ["1|T|5|∅", "∅|U|∅|V"]);
}

#[test]
fn nested_and_repeated_elements_have_types_where_asked() {
    let text = r#"<r><i><tag>a</tag><price cur="EUR">5</price><l><n>1</n></l></i>
<i><tag>b</tag><tag>c</tag><price>6</price><l><n>2</n><n>3</n></l><l/></i><i><x/></i></r>"#;
    let plain = read(xml("i"), text);
    assert_eq!(
        plain.columns,
        ["tag text", "price text", "l text", "x text"]
    );
    assert_eq!(
        plain.rows,
        [
            r##"a|{"@cur":"EUR","#text":5}|{"n":1}|∅"##,
            r#"["b","c"]|6|[{"n":[2,3]},null]|∅"#,
            "∅|∅|∅|",
        ]
    );
    let typed = read(xml("i").with("nested", json!("types")), text);
    assert_eq!(
        typed.columns,
        [
            "tag list(text)",
            "price struct(\"@cur\" text, \"#text\" bigint)",
            "l list(struct(n list(bigint)))",
            "x text"
        ]
    );
    assert_eq!(
        typed.rows,
        [
            "[a]|{@cur: EUR, #text: 5}|[{n: [1]}]|∅",
            "[b, c]|{@cur: ∅, #text: 6}|[{n: [2, 3]}, ∅]|∅",
            "∅|∅|∅|",
        ]
    );
    let mut spec = spec("t.xml");
    spec.declared = declared(&[("tag", "list(text)"), ("price", "text")]);
    let declared = xml("i").file("t.xml", text).read_as(&spec);
    assert_eq!(declared.columns[0], "tag list(text)");
    assert!(declared.rows[0].starts_with("[a]|"), "{declared:?}");
}

#[test]
fn a_rejected_element_is_read_again() {
    let project = xml("i").file(
        "t.xml.gz",
        gzip(b"<r>\n<i><n>1</n></i>\n\n<i>\n<n>x &amp; y</n></i>\n<i><n>&unknown;</n></i>\n<i><n>2</n></i></r>"),
    );
    let mut spec = spec("t.xml.gz");
    spec.declared = declared(&[("n", "bigint")]);
    let outcome = project.read_as(&spec);
    assert_eq!(outcome.rows, ["1", "2"]);
    assert_eq!(outcome.reasons(), ["4: type n", "6: xml"]);
    assert_eq!(
        outcome.raw_rejects(),
        ["<i>\n<n>x &amp; y</n></i>", "<i><n>&unknown;</n></i>"]
    );
    let raws = outcome.rejects.iter().map(|reject| reject.raw.clone());
    let records = rejected_in("data/t.xml.gz", raws.collect());
    spec.declared = declared(&[("n", "text")]);
    let again = run(async {
        let reader = project.source().replay(&spec, records).await.unwrap();
        drain(reader).await.unwrap()
    });
    assert_eq!(
        (again.rows, again.rejects.len()),
        (vec!["x & y".to_owned()], 1)
    );
    let edited = rejected_in(
        "data/t.xml.gz",
        vec![
            RawRecord::Text("<i><n>7</n></i><i/>".to_owned()),
            RawRecord::Text("<i><n>8</n></i>\n".to_owned()),
        ],
    );
    let again = run(async {
        let reader = project.source().replay(&spec, edited).await.unwrap();
        drain(reader).await.unwrap()
    });
    assert_eq!((again.rows, again.rejects.len()), (vec!["8".to_owned()], 1));
}

#[test]
fn what_is_wrong_with_one_record_rejects_that_one() {
    let deep = format!("<i>{}{}</i>", "<a>".repeat(150), "</a>".repeat(150));
    let long = format!("<i><n>{}</n></i>", "x".repeat(3000));
    for (record, code) in [
        ("<i a=1/>", "xml"),
        ("<i a='1' a='2'/>", "xml"),
        ("<i><n>&nbsp;</n></i>", "xml"),
        ("<i><n>&#xD800;</n></i>", "xml"),
        (deep.as_str(), "xml"),
        (long.as_str(), "too_long"),
    ] {
        let text = format!("<r><i><n>1</n></i>\n{record}\n<i><n>2</n></i></r>");
        let outcome = read(xml("i").with("max_record_bytes", json!(2000)), text);
        assert_eq!(outcome.rows, ["1", "2"], "{record:.60}");
        assert_eq!(outcome.reasons(), [format!("2: {code}")], "{record:.60}");
    }
    let outcome = read(xml("i"), b"<r><i>caf\xC3\xA9</i><i>caf\xE9</i></r>");
    assert_eq!(
        (outcome.rows, outcome.rejects[0].reasons[0].code.as_str()),
        (vec!["café".to_owned()], "encoding")
    );
}

#[test]
fn a_damaged_document_is_an_error_with_its_place() {
    let tag = format!("<r><i a='{}", "x".repeat(300_000));
    for (text, code, place, why) in [
        (
            "<r>\n<i>1</i>",
            "R0176",
            "line 2, column 9",
            "ends inside of `<r>`",
        ),
        (
            "<r>\n<i>1</i>\n<i>2",
            "R0176",
            "line 3, column 5",
            "ends inside of `<i>`",
        ),
        (
            "<r><i>1</r>",
            "R0176",
            "line 1, column 8",
            "`</r>` closes `<i>`",
        ),
        ("<r><i>1</i></r><s/>", "R0176", "column 16", "second root"),
        ("<r><i>1</i></r>x", "R0176", "column 16", "text outside"),
        (
            "<r>\n\n <i>1 < 2</i></r>",
            "R0176",
            "line 3, column 7",
            "`&lt;`",
        ),
        ("<r><i>1</i><j a='></r>", "R0176", "column 12", "attribute"),
        ("", "R0176", "line 1", "no element"),
        ("x", "R0176", "line 1, column 1", "text outside"),
        (&tag, "R0176", "column 4", "tag that begins here"),
        (
            "<?xml version='1.0' encoding='klingon'?><r/>",
            "R0176",
            "line 1",
            "`klingon`",
        ),
        (
            "<!DOCTYPE r [<!ENTITY a 'b'>]>\n<r><i>&a;</i></r>",
            "R0177",
            "line 1, column 1",
            "entities",
        ),
        (
            "<!DOCTYPE r [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>\n<r><i>&a;</i></r>",
            "R0177",
            "line 1",
            "entities",
        ),
        ("<r><j/></r>", "R0178", "line 1", "no element `i`"),
    ] {
        let project = xml("i")
            .with("max_record_bytes", json!(1000))
            .file("t.xml", text);
        let failure = project.fail("t.xml");
        assert_eq!(failure.code, code, "{text:.60}: {failure:?}");
        assert!(failure.message.contains(place), "{text:.60}: {failure:?}");
        assert!(failure.message.contains(why), "{text:.60}: {failure:?}");
        let remedy = if code == "R0178" {
            Remedy::FixConfig
        } else {
            Remedy::FixData
        };
        assert_eq!(failure.remedy, remedy, "{text:.60}");
    }
}

/// Nothing is expanded, so a document that would grow to gigabytes is refused at its head.
#[test]
fn entities_that_grow_are_refused() {
    let mut text = "<!DOCTYPE r [<!ENTITY a0 \"lol\">\n".to_owned();
    for level in 1..10 {
        let inner = format!("&a{};", level - 1).repeat(10);
        text.push_str(&format!("<!ENTITY a{level} \"{inner}\">\n"));
    }
    text.push_str("]>\n<r><i>&a9;</i></r>");
    let failure = xml("i").file("t.xml", &text).fail("t.xml");
    assert_eq!(failure.code, "R0177");
    // One without declarations is passed over, and its own file is not asked for.
    let outcome = read(
        xml("i"),
        "<!DOCTYPE r SYSTEM \"http://127.0.0.1:1/r.dtd\" [ <!ELEMENT i ANY> ]>\n<r><i><n>1</n></i></r>",
    );
    assert_eq!(outcome.rows, ["1"]);
}

#[test]
fn every_cut_of_a_file_is_an_error() {
    let text = b"<?xml version='1.0'?><!-- c --><r a='b'><i x='y'><![CDATA[z]]></i><?p q?><i/></r>";
    for length in 0..text.len() {
        let project = xml("i").file("t.xml", &text[..length]);
        let failure = project.fail("t.xml");
        assert_eq!(failure.code, "R0176", "{length}: {failure:?}");
    }
    assert_eq!(read(xml("i"), text).rows, ["y|z", "∅|∅"]);
}

/// What looks like JSON is a text.
#[test]
fn a_text_is_never_taken_for_json() {
    let text = r#"<r><i><t>{"a": 1}</t></i><i><t>[1]</t></i></r>"#;
    let outcome = read(xml("i").with("nested", json!("types")), text);
    assert_eq!(outcome.columns, ["t text"]);
    assert_eq!(outcome.rows, [r#"{"a": 1}"#, "[1]"]);
}

#[test]
fn a_file_says_its_encoding() {
    let text = "<?xml version='1.0' encoding='windows-1252'?><r><i>caf\u{e9}</i></r>";
    let (bytes, ..) = encoding_rs::WINDOWS_1252.encode(text);
    let outcome = read(xml("i"), &bytes);
    assert_eq!(
        (outcome.columns, outcome.rows),
        (vec!["#text text".to_owned()], vec!["café".to_owned()])
    );
    for mark in ["\u{feff}", ""] {
        for declared in ["<?xml version='1.0' encoding='UTF-16'?>", ""] {
            let text = format!("{mark}{declared}<r><i>\u{e9}</i></r>");
            let wide: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            assert_eq!(read(xml("i"), wide).rows, ["é"], "{text}");
        }
    }
    // It says what it cannot be, as files of .NET do.
    let text = "<?xml version='1.0' encoding='utf-16'?><r><i>\u{e9}</i></r>";
    assert_eq!(read(xml("i"), text).rows, ["é"]);
    let given = xml("i").with("encoding", json!("windows-1252"));
    let outcome = read(
        given,
        b"<?xml version='1.0' encoding='utf-8'?><r><i>caf\xE9</i></r>",
    );
    assert_eq!(outcome.rows, ["café"]);
}

#[test]
fn records_are_found_where_that_is_certain() {
    let find = |text: &str| Project::new().file("t.xml", text);
    let only = find("<r><i><n>1</n></i><i><n>2</n></i></r>").read("t.xml");
    assert_eq!(
        (only.rows, only.notes),
        (vec!["1".to_owned(), "2".to_owned()], Vec::<String>::new())
    );
    let beside = find("<r><count>2</count><i><n>1</n></i><i><n>2</n></i></r>").read("t.xml");
    assert_eq!(beside.rows, ["1", "2"]);
    assert!(
        beside.notes[0].contains("`record: /r/i` sets this"),
        "{beside:?}"
    );
    let one = find("<r><i a='1'><n>1</n></i></r>").read("t.xml");
    assert_eq!(one.rows, ["1|1"]);
    for (text, places) in [
        ("<r><i>1</i></r>", "`record: /r/i` or `record: /r`"),
        (
            "<r><i><l>1</l><l>2</l></i></r>",
            "`record: /r/i` or `record: /r/i/l`",
        ),
        (
            "<r><a>1</a><b>2</b></r>",
            "`record: /r` or `record: /r/a` or `record: /r/b`",
        ),
        (
            "<r><a/><a/><b/><b/></r>",
            "`record: /r/a` or `record: /r/b`",
        ),
    ] {
        let failure = find(text).fail("t.xml");
        assert_eq!(
            (failure.code.as_str(), failure.remedy),
            ("R0178", Remedy::FixConfig),
            "{text}"
        );
        assert!(failure.help[0].contains(places), "{failure:?}");
    }
    assert_eq!(find("<r/>").fail("t.xml").code, "R0171");
    assert_eq!(find("<r><i>").fail("t.xml").code, "R0176");
    // Another file of the table shows what one record is.
    let several = Project::new()
        .file("1.xml", "<r><i><l>1</l><l>2</l></i></r>")
        .file("2.xml", "<r><i><l>3</l></i><i/></r>")
        .file("3.xml", "<r/>");
    assert_eq!(several.read("*.xml").rows, ["[1,2]", "3", "∅"]);
    let other = Project::new()
        .file("1.xml", "<r><i/><i/></r>")
        .file("2.xml", "<r><j/><j/></r>");
    assert_eq!(other.fail("*.xml").code, "R0178");
}

/// What the records of a table are does not change with how many of them a later file has.
#[test]
fn a_table_keeps_its_records() {
    let later = |text: &str| {
        let first = Project::new().file(
            "t.xml",
            "<r><warning id='1'><text>w</text></warning>\
             <order id='1'><name>a</name><n>1</n></order><order id='2'><name>b</name><n>2</n></order></r>",
        );
        let first = first.read("t.xml");
        assert_eq!(first.columns, ["@id bigint", "name text", "n bigint"]);
        let mut spec = spec("t.xml");
        spec.observed = first.schema;
        (Project::new().file("t.xml", text), spec)
    };
    // One order, and two of something else.
    let warnings = "<warning><text>w</text></warning><warning><text>x</text></warning>";
    let (project, spec) = later(&format!(
        "<r><order id='3'><name>c</name><x:n xmlns:x='u'>3</x:n><new>1</new></order>{warnings}</r>"
    ));
    let outcome = project.read_as(&spec);
    assert_eq!(
        outcome.columns,
        ["@id bigint", "name text", "n bigint", "new bigint"]
    );
    assert_eq!(outcome.rows, ["3|c|3|1"]);
    assert!(outcome.notes[0].contains("`record: /r/order` sets this"));
    // Their root may have another name, and one with attributes alone is one.
    let (project, spec) = later("<s><order id='3'/></s>");
    assert_eq!(project.read_as(&spec).rows, ["3"]);
    let (project, spec) = later("<r/>");
    assert_eq!(project.read_as(&spec).rows, Vec::<String>::new());
    // Nothing confirms any of them, or several could be meant.
    for (text, places) in [
        (format!("<r>{warnings}</r>"), "`record: /r/warning`"),
        (
            format!("<r><order/>{warnings}</r>"),
            "`record: /r/order` or `record: /r/warning`",
        ),
        ("<r><count>0</count></r>".to_owned(), "`record: /r/count`"),
        (
            "<r><order id='3'/><item id='1'/><item id='2'/></r>".to_owned(),
            "`record: /r/order` or `record: /r/item`",
        ),
    ] {
        let (project, spec) = later(&text);
        let failure = project.try_read(&spec).unwrap_err();
        assert_eq!(failure.code, "R0178", "{text}");
        assert!(failure.help[0].contains(places), "{text}: {failure:?}");
    }
}

/// A file of very many names shows nothing for certain.
#[test]
fn names_beyond_those_counted_are_not_passed_over() {
    let names: String = (0..1_000).map(|at| format!("<a{at}/>")).collect();
    let text = format!("<r><a0/>{names}<i/><i/><i/></r>");
    let failure = Project::new().file("t.xml", text).fail("t.xml");
    assert_eq!(failure.code, "R0178");
    let inner: String = (0..1_000).map(|at| format!("<a{at}/>")).collect();
    let text = format!("<r><i>{inner}<l/><l/></i></r>");
    let failure = Project::new().file("t.xml", text).fail("t.xml");
    assert_eq!(failure.code, "R0178");
}

#[test]
fn a_place_with_other_elements_is_not_empty() {
    let place = |text: &str| xml("/c/book").file("t.xml", text);
    let failure = place("<c><Book/><Book/><pen/></c>").fail("t.xml");
    assert_eq!(failure.code, "R0178");
    assert!(failure.message.contains("`Book`, `pen`"), "{failure:?}");
    let both = place("<c><pen/><book a='1'/></c>").read("t.xml");
    assert_eq!(both.rows, ["1"]);
}

#[test]
fn blanks_are_those_of_xml_and_kept_where_they_are_data() {
    let signs =
        "<r><i><t>\u{a0}\u{3000}x\u{a0}</t></i><i><t>\u{a0}</t></i><i><t> \t\r\n</t></i></r>";
    assert_eq!(
        read(xml("i"), signs).rows,
        ["\u{a0}\u{3000}x\u{a0}", "\u{a0}", ""]
    );
    let literal = "<r><i><t> <![CDATA[ ]]> </t></i><i><t> &#32;x&#x20; </t></i>\
                   <i><t xml:space='preserve'> </t></i></r>";
    assert_eq!(read(xml("i"), literal).rows, [" ", " x ", " "]);
    let kept =
        "<r><i><t> </t></i><i><t><![CDATA[ ]]></t></i><i><t><p a='1'> y </p><q> </q></t></i></r>";
    assert_eq!(
        read(xml("i").with("trim", json!(false)), kept).rows,
        [" ", " ", r##"{"p":{"@a":1,"#text":" y "},"q":" "}"##]
    );
}

#[test]
fn only_the_instance_namespace_says_that_there_is_no_value() {
    let outcome = read(
        xml("i"),
        "<r><i a:nil='true' xmlns:a='u'><v app:nil='5'>12.50</v><g geo:schemaLocation='x'>2</g></i>\
         <i><v app:nil='true'>12.50</v></i>\
         <i><v q:nil=' true ' xmlns:q='http://www.w3.org/2001/XMLSchema-instance'/><g/></i>\
         <i><v i:nil='true'/></i><i><v xsi:nil='true' xmlns:xsi='u'/></i></r>",
    );
    assert_eq!(outcome.columns, ["@nil bool", "v text", "g text"]);
    assert_eq!(
        outcome.rows,
        [
            r##"true|{"@nil":5,"#text":12.50}|{"@schemaLocation":"x","#text":2}"##,
            r##"∅|{"@nil":true,"#text":12.50}|∅"##,
            "∅|∅|",
            "∅|∅|∅",
            r##"∅|{"@nil":true}|∅"##,
        ]
    );
    let text =
        "<r><i><v xsi:nil='true'>12.50</v></i>\n<i xsi:nil='1'><v>1</v></i>\n<i><v>2</v></i></r>";
    let outcome = read(xml("i"), text);
    assert_eq!(
        (outcome.rows.as_slice(), outcome.reasons().as_slice()),
        (
            &["2".to_owned()][..],
            &["1: xml".to_owned(), "2: xml".to_owned()][..]
        )
    );
    let outcome = read(xml("i"), text);
    assert!(
        messages(&outcome)[0].contains("`v` is `xsi:nil`"),
        "{outcome:?}"
    );
}

/// What a hostile document takes in memory is bounded, however short its parts are.
#[test]
fn parts_and_names_are_bounded() {
    let many = "<a/>".repeat(500_000);
    let attributes: String = (0..1_000).map(|at| format!(" a{at}=''")).collect();
    let attributes = format!("<a{attributes}/>").repeat(500);
    for record in [many, attributes] {
        let outcome = read(xml("i"), format!("<r><i>{record}</i>\n<i><n>1</n></i></r>"));
        assert_eq!(outcome.rows, ["1"]);
        assert_eq!(outcome.reasons(), ["1: too_long"]);
        assert!(messages(&outcome).is_empty() || messages(&outcome)[0].contains("500000"));
    }
    let long = "n".repeat(70_000);
    for text in [
        format!("<r><{long}/></r>"),
        format!("<r><i><{long}></{long}></i></r>"),
        format!("<r>{}", format!("<{}>", "n".repeat(60_000)).repeat(80)),
    ] {
        let failure = xml("i").file("t.xml", &text).fail("t.xml");
        assert_eq!(failure.code, "R0176");
        let is_told = failure.message.contains("name of an element is longer")
            || failure
                .message
                .contains("names of the elements inside each other");
        assert!(is_told, "{failure:?}");
    }
}

#[test]
fn options_of_xml_are_obeyed_or_refused() {
    for (option, value, why) in [
        ("record", json!("a b"), "the name of an element"),
        ("record", json!("/"), "the name of an element"),
        ("record", json!("a/b"), "from the root on"),
        ("record", json!("//a"), "the name of an element"),
        ("prefixes", json!("some"), "one of `drop`, `keep`"),
    ] {
        let project = Project::new().with(option, value.clone());
        let message = project.options_fail();
        assert!(message.contains(why), "{value}: {message}");
    }
    for option in [
        "records",
        "header",
        "delimiter",
        "skip_lines",
        "missing_columns",
    ] {
        let project = xml("i").with(option, json!("null"));
        let project = match option {
            "header" => project.with(option, json!(false)),
            "delimiter" => project.with(option, json!(";")),
            "skip_lines" => project.with(option, json!(1)),
            _ => project,
        };
        assert!(
            project
                .options_fail()
                .contains("files of format `xml` do not have it"),
            "{option}"
        );
    }
    let csv = Project::new()
        .with("format", json!("csv"))
        .with("record", json!("i"));
    assert!(csv.options_fail().contains("do not have it"));
    let dates = xml("i").with("date_format", json!("%d/%m/%Y"));
    assert_eq!(
        read(dates, "<r><i d='01/02/2024'/></r>").rows,
        ["2024-02-01"]
    );
    let numbers = xml("i")
        .with("decimal", json!(","))
        .with("thousands", json!("."));
    assert_eq!(read(numbers, "<r><i n='1.000,5'/></r>").rows, ["1000.5"]);
    let columns = xml("i").with("max_columns", json!(2));
    let failure = columns
        .file("t.xml", "<r><i a='1' b='1' c='1'/></r>")
        .fail("t.xml");
    assert_eq!(failure.code, "R0113");
}

#[test]
fn columns_of_paths_stand_beside_elements() {
    let project = xml("i")
        .with("hive_partitioning", json!(true))
        .with("file_column", json!("file"))
        .file("y=2024/a.xml", "<r><i><n>1</n></i></r>")
        .file(
            "y=2025/b.xml",
            "<r><i><n>2</n><y>2025</y></i>\n<i><n>3</n><y>1999</y></i></r>",
        );
    let outcome = project.read("*/*.xml");
    assert_eq!(outcome.columns, ["n bigint", "y bigint", "file text"]);
    assert_eq!(outcome.rows, ["1|2024|y=2024/a.xml", "2|2025|y=2025/b.xml"]);
    assert_eq!(outcome.reasons(), ["2: path y"]);
}

/// A record of many elements of one name, and of many names, takes time in proportion.
#[test]
fn wide_records_are_read_in_one_pass() {
    let many: String = (0..20_000)
        .map(|at| format!("<a>{at}</a><b{}/>", at % 1000))
        .collect();
    let outcome = read(xml("i"), format!("<r><i>{many}</i></r>"));
    assert_eq!((outcome.rows.len(), outcome.columns.len()), (1, 1001));
    let other = xml("i").file("t.xml", format!("<r>{}</r>", "<j>".repeat(20_000)));
    assert_eq!(other.fail("t.xml").code, "R0176");
}

/// However long a file is, a few chunks of it are in memory.
#[test]
fn memory_does_not_grow_with_the_file() {
    let memory = Arc::new(Ample::default());
    let mut project = xml("i");
    project.memory = memory.clone();
    let text: String = (0..60_000)
        .map(|at| format!("<i id='{at}'><v>value {at}</v><!-- c --></i>\n"))
        .collect();
    let comment = "<!--".to_owned() + &"x".repeat(1 << 20) + "-->";
    project.put(
        "t.xml",
        format!("<r><big>{}</big>{comment}{text}</r>", "y".repeat(1 << 20)),
    );
    let mut spec = spec("t.xml");
    spec.batch_bytes = 64 << 10;
    let rows = run(async { count(project.source().open(&spec, None).await.unwrap()).await });
    assert_eq!(rows, 60_000);
    let most = memory.most.load(Ordering::SeqCst);
    assert!(most < 4 << 20, "{most}");
}
