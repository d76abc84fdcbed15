//! Links in the folder of a connection: a write never goes through one that leads out.

use std::os::unix::fs::symlink;

use super::*;

#[tokio::test]
async fn a_write_goes_through_no_link_that_leads_out() {
    let project = TestProject::new();
    let outside = project.dir.path().join("outside");
    std::fs::create_dir_all(project.path("in")).unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("x.csv"), "n,t\n1,a\n").unwrap();
    symlink("../outside", project.path("folder")).unwrap();
    symlink(outside.join("x.csv"), project.path("x.csv")).unwrap();
    symlink(outside.join("x.csv"), project.path(".y.csv.towpath.json")).unwrap();
    symlink(outside.join("new"), project.path("z.csv")).unwrap();
    for (object, code) in [
        ("folder/t.csv", "R0120"),
        ("folder/", "R0120"),
        ("folder/deep/", "R0120"),
        ("x.csv", "R0120"),
        ("y.csv", "R0120"),
        ("z.csv", "R0123"),
    ] {
        for how in [replace(object, 1), append(object, 1)] {
            let how = how.with("format", json!("csv"));
            let failure = project.write(&how, &rows(0..2)).await.unwrap_err();
            assert_eq!(failure.code, code, "{object} {}", failure.message);
            let looked = project.destination().last(&how.task(), &how.table()).await;
            assert!(looked.is_err(), "{object}");
        }
    }
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    let kept = std::fs::read_to_string(outside.join("x.csv")).unwrap();
    assert_eq!(kept, "n,t\n1,a\n");
    // A link that stays inside is followed, and so is one on the way to the folder itself.
    symlink("in", project.path("again")).unwrap();
    project
        .write(&replace("again/t.csv", 1), &rows(0..2))
        .await
        .unwrap();
    assert_eq!(project.text("in/t.csv"), "n,t\n0,row 0\n1,row 1\n");
    let linked = project.dir.path().join("linked");
    symlink(&outside, &linked).unwrap();
    let path = OptionValue::Plain(json!("linked"));
    let mut other = project;
    other.connection.options.insert("path".to_owned(), path);
    let receipt = other.write(&replace("t.csv", 1), &rows(0..2)).await;
    assert!(receipt.is_ok() && outside.join("t.csv").is_file());
}

#[tokio::test]
async fn a_link_in_the_place_of_a_file_on_its_way_is_not_followed() {
    let project = TestProject::new();
    let outside = project.dir.path().join("outside");
    std::fs::create_dir_all(project.path("")).unwrap();
    std::fs::write(&outside, "kept").unwrap();
    for kind in ["rows", "whole", "note"] {
        let name = format!(".t.csv.1-{kind}.towpath-tmp");
        symlink(&outside, project.path(&name)).unwrap();
    }
    // The one of the lock is there before any leftover is removed.
    symlink(&outside, project.path(".u.csv.towpath.lock")).unwrap();
    project
        .write(&replace("t.csv", 1), &rows(0..1))
        .await
        .unwrap();
    let failure = project.write(&replace("u.csv", 1), &rows(0..1)).await;
    assert_eq!(failure.unwrap_err().code, "R0120");
    assert_eq!(std::fs::read_to_string(&outside).unwrap(), "kept");
    assert_eq!(project.text("t.csv"), "n,t\n0,row 0\n");
}
