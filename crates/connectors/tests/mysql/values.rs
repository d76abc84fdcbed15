//! Every type, with the values at its edges: each arrives exactly, or its row is a reject.

use serde_json::json;
use towpath_vocab::Selection;

use crate::support::{Database, read, spec, table, texts, try_read, types_of};

#[tokio::test(flavor = "multi_thread")]
async fn numbers_arrive_exactly() {
    let database = Database::with(
        "CREATE TABLE n (id int PRIMARY KEY, t tinyint, tu tinyint unsigned, s smallint, su smallint unsigned, \
         m mediumint, mu mediumint unsigned, i int, iu int unsigned zerofill, b bigint, bu bigint unsigned, \
         y year, d decimal(38,10), w decimal(65,30), f float, f2 float(7,3), g double, flag tinyint(1), \
         b1 bit(1), b7 bit(7), b64 bit(64));
         INSERT INTO n VALUES (1, -128, 0, -32768, 0, -8388608, 0, -2147483648, 0, -9223372036854775808, 0, \
         0, -9999999999999999999999999999.9999999999, \
         -99999999999999999999999999999999999.999999999999999999999999999999, -3.402823e38, -1234.568, \
         -1.7976931348623157e308, 0, b'0', b'0', b'0'), \
         (2, 127, 255, 32767, 65535, 8388607, 16777215, 2147483647, 4294967295, 9223372036854775807, \
         18446744073709551615, 2155, 0.0000000001, 0.000000000000000000000000000001, 16777217, 0.1, \
         5e-324, 1, b'1', b'1111111', 0xFFFFFFFFFFFFFFFF), \
         (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, \
         NULL, NULL, NULL)",
    );
    let mut asked = table("n");
    asked.parallel = 4;
    let read = read(database.source().as_ref(), &asked, None).await;
    assert_eq!(
        types_of(&read).join(", "),
        "id int, t tinyint, tu smallint, s smallint, su int, m int, mu bigint, i int, iu bigint, b bigint, \
         bu decimal(20,0), y smallint, d decimal(38,10), w text, f float, f2 float, g double, flag tinyint, \
         b1 bool, b7 bigint, b64 decimal(20,0)"
    );
    let is = |name: &str, low: &str, high: &str| {
        let expected = vec![Some(low.to_owned()), Some(high.to_owned()), None];
        assert_eq!(read.column(name), expected, "{name}");
    };
    is("t", "-128", "127");
    is("tu", "0", "255");
    is("s", "-32768", "32767");
    is("su", "0", "65535");
    is("m", "-8388608", "8388607");
    is("mu", "0", "16777215");
    is("i", "-2147483648", "2147483647");
    is("iu", "0", "4294967295");
    is("b", "-9223372036854775808", "9223372036854775807");
    is("bu", "0", "18446744073709551615");
    is("y", "0", "2155");
    is(
        "d",
        "-9999999999999999999999999999.9999999999",
        "0.0000000001",
    );
    is(
        "w",
        "-99999999999999999999999999999999999.999999999999999999999999999999",
        "0.000000000000000000000000000001",
    );
    is("flag", "0", "1");
    is("b1", "false", "true");
    is("b7", "0", "127");
    is("b64", "0", "18446744073709551615");
    let of = |name: &str, row: usize| {
        read.column(name)[row]
            .clone()
            .unwrap()
            .parse::<f64>()
            .unwrap()
    };
    assert_eq!(of("f", 0) as f32, -3.402823e38_f32);
    assert_eq!(of("f", 1), 16_777_216.0);
    assert_eq!(of("f2", 0) as f32, -1234.568_f32);
    assert_eq!(of("g", 0), f64::MIN);
    assert_eq!(of("g", 1), 5e-324);
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_and_times_arrive_exactly_or_as_rejects() {
    let database = Database::with(
        "SET sql_mode = 'ALLOW_INVALID_DATES'; SET time_zone = '+05:30';
         CREATE TABLE d (id int PRIMARY KEY, a date, b datetime(6), c timestamp(6) NULL, e time(6));
         INSERT INTO d VALUES (1, '0001-01-01', '1000-01-01 00:00:00', '1970-01-01 05:30:01', '-838:59:59.999999'), \
         (2, '9999-12-31', '9999-12-31 23:59:59.999999', '2038-01-19 08:44:07.999999', '838:59:59.999999'), \
         (3, NULL, NULL, NULL, NULL), \
         (4, '0000-00-00', '2024-01-01', '2024-01-01', '00:00:00'), \
         (5, '2024-01-01', '0000-00-00', '2024-01-01', '00:00:00'), \
         (6, '2024-00-10', '2024-01-01', '2024-01-01', '00:00:00'), \
         (7, '2023-02-31', '2024-01-01', '2024-01-01', '00:00:00.5'), \
         (8, '2024-01-01', '2024-01-01', '0000-00-00', '-00:00:01')",
    );
    let whole = database.read("d").await;
    assert_eq!(
        types_of(&whole),
        ["id int", "a date", "b timestamp", "c timestamptz", "e text"]
    );
    assert_eq!(whole.numbers("id"), [1, 2, 3]);
    assert_eq!(
        whole.column("a")[..2],
        texts(&["0001-01-01", "9999-12-31"])[..]
    );
    assert_eq!(
        whole.column("b")[..2],
        texts(&["1000-01-01T00:00:00", "9999-12-31T23:59:59.999999"])[..]
    );
    assert_eq!(
        whole.column("c")[..2],
        texts(&["1970-01-01T00:00:01Z", "2038-01-19T03:14:07.999999Z"])[..]
    );
    let times = match database.server.is_mysql() {
        false => ["-838:59:59.999999", "838:59:59.999999"],
        true => ["-838:59:59", "838:59:59"],
    };
    assert_eq!(whole.column("e")[..2], texts(&times)[..]);
    assert_eq!(whole.rejects.len(), 5);
    let reason = &whole.rejects[0].reasons[0];
    assert_eq!(reason.value.as_deref(), Some("0000-00-00"));
    assert!(
        reason.message.contains("zero_dates: to_null"),
        "{}",
        reason.message
    );
    assert!(!whole.rejects[2].reasons[0].message.contains("to_null"));

    // A zero date becomes NULL only where the user says so; half a date never does.
    let mut asked = table("d");
    asked
        .options
        .insert("zero_dates".to_owned(), json!("to_null"));
    let nulls = read(database.source().as_ref(), &asked, None).await;
    assert_eq!(nulls.numbers("id"), [1, 2, 3, 4, 5, 8]);
    assert_eq!(nulls.rejects.len(), 2);
    asked.options.insert("zero_dates".to_owned(), json!("bend"));
    let refused = try_read(database.source().as_ref(), &asked, None).await;
    assert_eq!(refused.unwrap_err().code, "R1001");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_every_character_set_arrive_as_they_are() {
    let database = Database::with(
        "SET sql_mode = '';
         CREATE TABLE c (id int PRIMARY KEY, l varchar(20) CHARACTER SET latin1, u varchar(20) CHARACTER SET utf8mb4, \
         g varchar(20) CHARACTER SET gbk, j varchar(20) CHARACTER SET sjis, w varchar(20) CHARACTER SET utf16, \
         f char(6), v varchar(6), e enum('', 'a,b', 'ü'), s set('x','y','z'), js json, bi binary(4), vb varbinary(4), bl blob, lt longtext);
         INSERT INTO c VALUES (1, 'Größe €', '😀 a\\'b', '中文', '日本', '😀', 'ab  ', 'ab  ', 'ü', 'x,z', \
         '{\"a\": 1.10, \"b\": \"😀\"}', 'a', 'b ', 0x00FF, ''), \
         (2, '', '\\\\ \\0', '', '', '', '', '', 'a,b', '', '[]', '', '', '', repeat('ä', 100000))",
    );
    let read = database.read("c").await;
    let schema = read.schema.clone().unwrap();
    assert_eq!(
        types_of(&read).join(", "),
        "id int, l text, u text, g text, j text, w text, f text, v text, e text, s text, js text, bi binary, \
         vb binary, bl binary, lt text"
    );
    assert_eq!(schema.fields().len(), 15);
    assert_eq!(read.column("l"), texts(&["Größe €", ""]));
    assert_eq!(read.column("u"), texts(&["😀 a'b", "\\ \0"]));
    assert_eq!(read.column("g"), texts(&["中文", ""]));
    assert_eq!(read.column("j"), texts(&["日本", ""]));
    assert_eq!(read.column("w"), texts(&["😀", ""]));
    // MySQL keeps no blanks at the end of a `char`, and all of a `varchar`.
    assert_eq!(read.column("f"), texts(&["ab", ""]));
    assert_eq!(read.column("v"), texts(&["ab  ", ""]));
    assert_eq!(read.column("e"), texts(&["ü", "a,b"]));
    assert_eq!(read.column("s"), texts(&["x,z", ""]));
    let document = match database.server.is_mysql() {
        false => "{\"a\": 1.10, \"b\": \"😀\"}",
        true => "{\"a\": 1.1, \"b\": \"😀\"}",
    };
    assert_eq!(read.column("js"), texts(&[document, "[]"]));
    let binary = |name: &str| {
        use arrow_array::cast::AsArray as _;
        let batch = &read.batches[0];
        let column = batch
            .column_by_name(name)
            .unwrap()
            .as_binary::<i32>()
            .clone();
        column
            .iter()
            .map(|value| value.unwrap().to_vec())
            .collect::<Vec<_>>()
    };
    assert_eq!(binary("bi"), [vec![b'a', 0, 0, 0], vec![0, 0, 0, 0]]);
    assert_eq!(binary("vb"), [b"b ".to_vec(), Vec::new()]);
    assert_eq!(binary("bl"), [vec![0, 0xFF], Vec::new()]);
    assert_eq!(
        read.column("lt")[1].as_ref().unwrap().chars().count(),
        100_000
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn types_that_only_mariadb_has_are_text() {
    let database = Database::with("SELECT 1");
    if database.server.is_mysql() {
        return;
    }
    database.sql(
        "CREATE TABLE m (u uuid, a inet6, b inet4);
         INSERT INTO m VALUES ('123e4567-e89b-12d3-a456-426655440000', '2001:db8::1', '10.0.0.1')",
    );
    let read = database.read("m").await;
    assert_eq!(types_of(&read), ["u text", "a text", "b text"]);
    assert_eq!(
        read.column("u"),
        texts(&["123e4567-e89b-12d3-a456-426655440000"])
    );
    assert_eq!(read.column("a"), texts(&["2001:db8::1"]));
    assert_eq!(read.column("b"), texts(&["10.0.0.1"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_is_set_to_bends_no_value_and_hides_no_row() {
    let database = Database::alone(
        &[
            "--sql-mode=PAD_CHAR_TO_FULL_LENGTH,NO_ZERO_DATE,NO_ZERO_IN_DATE,ANSI_QUOTES,NO_BACKSLASH_ESCAPES",
            "--default-time-zone=-08:00",
            "--character-set-server=latin1",
            "--init-connect=SET sql_select_limit = 1",
        ],
        "CREATE TABLE p (id int PRIMARY KEY, c char(6), t timestamp NULL);
         INSERT INTO p VALUES (1, 'a', '2024-01-01 00:00:00'), (2, 'b', '2024-01-01 00:00:00'), (3, 'ü', NULL);
         CREATE USER plain IDENTIFIED BY 'p w:@/%'; GRANT SELECT ON *.* TO plain",
    );
    let url = format!(
        "mariadb://plain:p%20w%3A%40%2F%25@127.0.0.1:{}/{}",
        database.server.port(),
        database.name
    );
    let read = read(crate::support::source_at(&url).as_ref(), &table("p"), None).await;
    assert_eq!(read.column("c"), texts(&["a", "b", "ü"]));
    assert_eq!(read.column("t")[0].as_deref(), Some("2024-01-01T08:00:00Z"));
}

#[tokio::test(flavor = "multi_thread")]
async fn generated_and_invisible_columns_are_columns() {
    let database = Database::with("SELECT 1");
    // MySQL has invisible columns from 8.0.23 on.
    let invisible = match database.server.is_mysql() {
        false => "INVISIBLE",
        true => "",
    };
    database.sql(&format!(
        "CREATE TABLE g (id int PRIMARY KEY, hidden int {invisible} DEFAULT 7, twice int AS (id * 2) VIRTUAL, \
         kept int AS (id * 3) STORED, `odd ``name` int DEFAULT 1);
         INSERT INTO g (id) VALUES (1), (2);
         CREATE VIEW v AS SELECT id, twice FROM g"
    ));
    let read = database.read("g").await;
    assert_eq!(read.column("hidden"), texts(&["7", "7"]));
    assert_eq!(read.column("twice"), texts(&["2", "4"]));
    assert_eq!(read.column("kept"), texts(&["3", "6"]));
    assert_eq!(read.column("odd `name"), texts(&["1", "1"]));
    let view = database.read("v").await.rows();
    assert_eq!(
        view,
        [r#"{"id":"1","twice":"2"}"#, r#"{"id":"2","twice":"4"}"#]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_is_read_like_a_table() {
    let database = Database::with(
        "CREATE TABLE q (id int, d decimal(5,2)); INSERT INTO q VALUES (1, 1.50), (2, 2.25)",
    );
    let query = |sql: &str| spec(Selection::Query(sql.to_owned()));
    let source = database.source();
    let sql = "SELECT sum(d) AS s, max(id) AS m, NULL AS n, 'x' AS x FROM q -- all of it;";
    let whole = read(source.as_ref(), &query(sql), None).await;
    assert_eq!(whole.column("s"), texts(&["3.75"]));
    assert_eq!(whole.column("m"), texts(&["2"]));
    assert_eq!(whole.column("n"), [None]);
    for (sql, code) in [
        ("SELECT 1 AS a, 2 AS a", "R1013"),
        ("SELECT nothing FROM q", "R1013"),
        ("SELECT ?", "R1013"),
        ("DELETE FROM q", "R1013"),
        (
            "SELECT 1) AS x; DROP TABLE q; SELECT * FROM (SELECT 1",
            "R1013",
        ),
        ("SELECT * FROM missing", "R1010"),
    ] {
        let refused = try_read(source.as_ref(), &query(sql), None).await;
        assert_eq!(refused.unwrap_err().code, code, "{sql}");
    }
    assert_eq!(database.sql("SELECT count(*) FROM q"), "2");
}
