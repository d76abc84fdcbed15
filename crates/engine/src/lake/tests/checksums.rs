//! Flipped bytes anywhere in a data file: never other values, always an error that names the place.

use std::path::Path;

use parquet::file::reader::{FileReader as _, SerializedFileReader};
use towpath_vocab::{Remedy, Token};

use super::*;

const ROWS: u64 = 30_000;

/// Numbers that look random, the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn content(seed: u64) -> RecordBatch {
    let mut dice = Dice(seed);
    let names = ["red", "green", "blue", "a longer name of a colour"];
    let pairs: Vec<(i64, &str)> = (0..ROWS)
        .map(|at| {
            let id = (at * 1_000 + dice.below(1_000)) as i64;
            (id, names[dice.below(4) as usize])
        })
        .collect();
    rows(&pairs)
}

async fn one_file() -> Fixture {
    let f = Fixture::new();
    let intent = intent(WriteMode::Append, schema(), 1);
    load(&f.lake, intent, content(1)).await.unwrap();
    f
}

fn files(f: &Fixture) -> Vec<PathBuf> {
    let folder = root(&f.lake).join("raw/things");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "parquet"))
        .collect();
    files.sort();
    files
}

/// Flips bits in eight bytes of a region.
fn flip(whole: &[u8], region: std::ops::Range<u64>, seed: u64) -> Vec<u8> {
    let mut dice = Dice(seed);
    let mut damaged = whole.to_vec();
    for _ in 0..8 {
        let at = region.start + dice.below(region.end - region.start);
        damaged[at as usize] ^= 1 << dice.below(8);
    }
    // Two flips of one bit are none.
    if damaged == whole {
        damaged[region.start as usize] ^= 1;
    }
    damaged
}

/// The regions of a file: dictionary and data of each column, and what is behind them.
fn regions(path: &Path) -> Vec<(&'static str, std::ops::Range<u64>)> {
    let file = std::fs::File::open(path).unwrap();
    let size = file.metadata().unwrap().len();
    let reader = SerializedFileReader::new(file).unwrap();
    let (mut regions, mut end) = (Vec::new(), 0);
    for group in reader.metadata().row_groups() {
        for chunk in group.columns() {
            let (start, length) = chunk.byte_range();
            let data = u64::try_from(chunk.data_page_offset()).unwrap();
            if data > start {
                regions.push(("dictionary", start..data));
            }
            regions.push(("pages", data..start + length));
            end = end.max(start + length);
        }
    }
    regions.push(("indexes and footer", end..size));
    regions.push(("the last bytes", size - 12..size));
    regions.push(("the first bytes", 0..4));
    regions
}

async fn everything(lake: &Lake) -> Result<Vec<(i64, String)>, Failure> {
    let mut reader = lake.source(&table())?.open(&read_spec(), None).await?;
    let (mut splits, mut batches) = (reader.splits(), Vec::new());
    while let Some(assigned) = splits.next().await {
        let Assignment::Assigned(mut split) = assigned? else {
            continue;
        };
        while let Some(event) = split.events.next().await {
            if let Event::Rows(rows) = event? {
                batches.push(rows.batch);
            }
        }
    }
    Ok(pairs(&batches))
}

/// Takes the checksums out of the log, as if an older version had written it.
fn without_checksums(f: &Fixture, version: u64) {
    let log = root(&f.lake).join("raw/things/_delta_log");
    let path = log.join(format!("{version:020}.json"));
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("towpath.crc32"), "{text}");
    let lines: Vec<String> = text
        .lines()
        .map(|line| {
            let mut action: serde_json::Value = serde_json::from_str(line).unwrap();
            if let Some(add) = action.get_mut("add") {
                add.as_object_mut().unwrap().remove("tags");
            }
            if let Some(own) = action.pointer_mut("/commitInfo/towpath") {
                own.as_object_mut().unwrap().remove("crc32");
            }
            action.to_string()
        })
        .collect();
    std::fs::write(path, lines.join("\n")).unwrap();
}

#[tokio::test]
async fn no_flipped_byte_gives_other_values() {
    let f = one_file().await;
    let before = everything(&f.reopened()).await.unwrap();
    assert_eq!(before.len() as u64, ROWS);
    let path = files(&f).remove(0);
    let whole = std::fs::read(&path).unwrap();
    for (region, range) in regions(&path) {
        for seed in 0..12 {
            std::fs::write(&path, flip(&whole, range.clone(), seed)).unwrap();
            let failure = everything(&f.reopened()).await.unwrap_err();
            let place = format!("{region} {seed}: {failure}");
            assert_eq!(
                (failure.code.as_str(), failure.remedy),
                ("R0432", Remedy::Refused),
                "{place}"
            );
            let name = path.file_name().unwrap().to_str().unwrap();
            for part in ["`raw.things` (version 0)", name] {
                assert!(failure.message.contains(part), "{place}");
            }
            assert!(
                failure
                    .help
                    .iter()
                    .any(|way| way.contains("lake verify raw.things")),
                "{place}"
            );
            if region == "pages" {
                let named =
                    failure.message.contains("column") && failure.message.contains("row group 0");
                assert!(named, "{place}");
            }
        }
    }
    for damaged in [
        &whole[..whole.len() - 1],
        &[whole.as_slice(), b"x"].concat(),
    ] {
        std::fs::write(&path, damaged).unwrap();
        let failure = everything(&f.reopened()).await.unwrap_err();
        assert_eq!(failure.code, "R0432", "{failure}");
        assert!(
            failure.message.contains("and was written with"),
            "{failure}"
        );
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(everything(&f.reopened()).await.unwrap(), before);
}

#[tokio::test]
async fn files_without_checksums_are_read_as_before() {
    let f = one_file().await;
    let before = everything(&f.reopened()).await.unwrap();
    without_checksums(&f, 0);
    assert_eq!(everything(&f.reopened()).await.unwrap(), before);
    let found = f.reopened().verify(&table(), false).await.unwrap();
    assert_eq!((found.files, found.without_checksums), (1, 1));
    assert_eq!((found.damaged.len(), found.last_whole), (0, Some(0)));
    let path = files(&f).remove(0);
    let whole = std::fs::read(&path).unwrap();
    let (mut silent, mut found) = (0, 0);
    for seed in 0..40 {
        std::fs::write(&path, flip(&whole, 4..whole.len() as u64 - 1_000, seed)).unwrap();
        let read = everything(&f.reopened()).await;
        silent += u32::from(read.is_ok_and(|rows| rows != before));
        let verified = f.reopened().verify(&table(), false).await.unwrap();
        found += verified.damaged.len();
    }
    // This is what checksums are for.
    assert!(silent > 0 && found > 0, "{silent} {found}");
}

#[tokio::test]
async fn a_damaged_tag_is_no_reason_to_trust_a_file() {
    let f = one_file().await;
    let path = root(&f.lake).join("raw/things/_delta_log/00000000000000000000.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let text = unsealed(&text);
    std::fs::write(&path, text.replace("\"65536:", "\"65537:")).unwrap();
    let failure = everything(&f.reopened()).await.unwrap_err();
    assert_eq!(failure.code, "R0432", "{failure}");
    std::fs::write(&path, text.replace("\"65536:", "\"6553:")).unwrap();
    let failure = everything(&f.reopened()).await.unwrap_err();
    assert!(
        failure.message.contains("checksums in the log"),
        "{failure}"
    );
    let found = f.reopened().verify(&table(), false).await.unwrap();
    assert_eq!(found.damaged.len(), 1);
}

#[tokio::test]
async fn merges_and_compactions_do_not_copy_damage() {
    let f = Fixture::new();
    for generation in 1..=3 {
        let intent = intent(WriteMode::Append, schema(), generation);
        load(&f.lake, intent, content(generation as u64))
            .await
            .unwrap();
    }
    let damaged = files(&f);
    for path in &damaged {
        let whole = std::fs::read(path).unwrap();
        std::fs::write(path, flip(&whole, 1_000..whole.len() as u64 / 2, 3)).unwrap();
    }
    let failure = f.reopened().compact(&table(), "care").await.unwrap_err();
    assert_eq!(failure.code, "R0432", "{failure}");
    let merge = intent(WriteMode::Merge, schema(), 4);
    let failure = load(&f.reopened(), merge, content(2)).await.unwrap_err();
    assert_eq!(failure.code, "R0432", "{failure}");
    assert_eq!(f.reopened().version(&table()).await.unwrap(), Some(2));
    assert_eq!(files(&f), damaged, "nothing of them stays");
}

#[tokio::test]
async fn checksums_outlive_checkpoints_restores_and_compactions() {
    let f = Fixture::new();
    for generation in 1..=12 {
        let intent = intent(WriteMode::Append, schema(), generation);
        load(&f.lake, intent, rows(&[(generation, "a")]))
            .await
            .unwrap();
    }
    let log = root(&f.lake).join("raw/things/_delta_log");
    for version in 0..=9 {
        std::fs::remove_file(log.join(format!("{version:020}.json"))).unwrap();
    }
    let found = f.reopened().verify(&table(), true).await.unwrap();
    assert_eq!((found.files, found.without_checksums), (12, 0));
    assert_eq!((found.oldest, found.version), (9, 11));
    let back = f.reopened();
    let carried = vec![Token::of(task("extract"), Generation(13))];
    back.restore(&table(), 10, carried, "care").await.unwrap();
    back.compact(&table(), "care").await.unwrap();
    let found = f.reopened().verify(&table(), true).await.unwrap();
    assert_eq!((found.files, found.without_checksums), (13, 0));
    assert_eq!(found.damaged, []);
}

#[tokio::test]
async fn verify_names_damaged_files_their_versions_and_the_last_whole_one() {
    let f = Fixture::new();
    let mut known = Vec::new();
    let mut third = PathBuf::new();
    for generation in 1..=4 {
        let intent = intent(WriteMode::Append, schema(), generation);
        load(&f.lake, intent, content(generation as u64))
            .await
            .unwrap();
        let now = files(&f);
        if generation == 3 {
            third = now
                .iter()
                .find(|path| !known.contains(*path))
                .unwrap()
                .clone();
        }
        known = now;
    }
    let found = f.reopened().verify(&table(), false).await.unwrap();
    assert_eq!((found.files, found.damaged.len()), (4, 0));
    assert_eq!((found.version, found.last_whole), (3, Some(3)));
    let whole = std::fs::read(&third).unwrap();
    std::fs::write(&third, flip(&whole, 5_000..5_100, 1)).unwrap();
    let found = f.reopened().verify(&table(), true).await.unwrap();
    assert_eq!((found.oldest, found.last_whole), (0, Some(1)));
    let [damaged] = found.damaged.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(damaged.versions, [(2, 3)]);
    assert_eq!(Path::new(&damaged.address), third);
    assert!(
        damaged.why.contains("column `id` of row group 0"),
        "{damaged:?}"
    );
    std::fs::remove_file(&third).unwrap();
    let found = f.reopened().verify(&table(), false).await.unwrap();
    assert_eq!(found.damaged[0].why, "is missing");
    assert_eq!(found.last_whole, None);
}

#[tokio::test]
async fn no_changed_byte_of_an_entry_gives_other_answers() {
    let f = Fixture::new();
    for generation in 1..=3 {
        let intent = intent(WriteMode::Append, schema(), generation);
        load(
            &f.lake,
            intent,
            rows(&[(generation, "a"), (generation + 10, "b")]),
        )
        .await
        .unwrap();
    }
    let before = everything(&f.reopened()).await.unwrap();
    let path = root(&f.lake).join("raw/things/_delta_log/00000000000000000001.json");
    let whole = std::fs::read(&path).unwrap();
    let mut seen = 0;
    for at in (0..whole.len()).step_by(3) {
        let mut damaged = whole.clone();
        // A digit stays a digit: the text stays valid JSON.
        damaged[at] ^= 1;
        std::fs::write(&path, &damaged).unwrap();
        match f.reopened().snapshot(&table()).await {
            Err(failure) => {
                assert_eq!(failure.code, "R0431", "{at}: {failure}");
                assert!(
                    failure.message.contains("of version 1 is "),
                    "{at}: {failure}"
                );
                seen += 1;
            }
            // In the name of the checksum itself.
            Ok(found) => {
                assert_eq!(found.unwrap().rows(), Some(6), "{at}");
                assert_eq!(everything(&f.reopened()).await.unwrap(), before, "{at}");
            }
        }
    }
    assert!(seen > whole.len() / 3 - 20, "{seen}");
    std::fs::write(&path, unsealed(&String::from_utf8(whole).unwrap())).unwrap();
    assert_eq!(everything(&f.reopened()).await.unwrap(), before);
}
