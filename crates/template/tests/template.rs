//! Templates and their results: references, rendered SQL, messages of mistakes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema};
use serde_json::json;
use towpath_template::{
    MacroFile, Mistake, ReferenceKind, Render, Rendered, Scan, TemplateProblem, Vars, render, scan,
};
use towpath_vocab::{Introspect, NeedsWarehouse, TableName, WarehouseAnswer, WarehouseQuestion};

/// Answers from a list; keeps what it was asked.
#[derive(Default)]
struct Warehouse {
    tables: BTreeMap<TableName, Vec<&'static str>>,
    rows: BTreeMap<String, (Vec<String>, Vec<Vec<serde_json::Value>>)>,
    asked: Vec<WarehouseQuestion>,
}

impl Introspect for Warehouse {
    fn ask(&mut self, question: WarehouseQuestion) -> Result<WarehouseAnswer, NeedsWarehouse> {
        self.asked.push(question.clone());
        match question {
            WarehouseQuestion::Exists(table) => {
                Ok(WarehouseAnswer::Exists(self.tables.contains_key(&table)))
            }
            WarehouseQuestion::Columns(table) => {
                let columns = self
                    .tables
                    .get(&table)
                    .ok_or_else(|| NeedsWarehouse(format!("columns of {table}")))?;
                let fields: Vec<Field> = columns
                    .iter()
                    .map(|name| Field::new(*name, DataType::Utf8, true))
                    .collect();
                Ok(WarehouseAnswer::Columns(Arc::new(Schema::new(fields))))
            }
            WarehouseQuestion::Rows(sql) => {
                let (columns, rows) = self.rows.get(&sql).cloned().ok_or(NeedsWarehouse(sql))?;
                Ok(WarehouseAnswer::Rows { columns, rows })
            }
        }
    }
}

struct Case {
    macros: Vec<MacroFile>,
    vars: Vars,
    env: BTreeMap<String, String>,
    relations: BTreeMap<String, TableName>,
    ephemerals: BTreeMap<String, String>,
    incremental: bool,
    full_refresh: bool,
    warehouse: Warehouse,
}

fn case() -> Case {
    Case {
        macros: Vec::new(),
        vars: Vars::new(),
        env: BTreeMap::new(),
        relations: BTreeMap::from([
            ("orders".to_owned(), TableName::new("staging", "orders")),
            (
                "customers".to_owned(),
                TableName::new("staging", "customers"),
            ),
            ("shop.orders".to_owned(), TableName::new("raw", "orders")),
        ]),
        ephemerals: BTreeMap::new(),
        incremental: false,
        full_refresh: false,
        warehouse: Warehouse::default(),
    }
}

impl Case {
    fn macros(mut self, text: &str) -> Self {
        let file = format!("macros/m{}.sql", self.macros.len());
        self.macros.push(MacroFile {
            file,
            text: text.to_owned(),
        });
        self
    }

    fn ephemeral(mut self, name: &str, text: &str) -> Self {
        self.ephemerals.insert(name.to_owned(), text.to_owned());
        self
    }

    fn try_render(&mut self, text: &str) -> Result<Rendered, TemplateProblem> {
        let request = Render {
            file: "models/marts/m.sql",
            text,
            macros: &self.macros,
            vars: &self.vars,
            env: &self.env,
            this: &TableName::new("marts", "m"),
            relations: &self.relations,
            ephemerals: &self.ephemerals,
            full_refresh: self.full_refresh,
            incremental: self.incremental,
            target: "dev",
            schema: "main",
        };
        render(&request, &mut self.warehouse)
    }

    fn sql(&mut self, text: &str) -> String {
        self.try_render(text).unwrap().sql
    }

    fn mistake(&mut self, text: &str) -> Mistake {
        match self.try_render(text) {
            Err(TemplateProblem::Wrong(mistake)) => *mistake,
            other => panic!("{other:?}"),
        }
    }

    fn scan(&self, text: &str) -> Scan {
        scan("models/marts/m.sql", text, &self.macros, &self.vars).unwrap()
    }
}

#[test]
fn plain_sql_passes_unchanged() {
    assert_eq!(case().sql("select 1 -- {no}\n"), "select 1 -- {no}");
    assert_eq!(case().scan("select 1"), Scan::default());
}

#[test]
fn relations_are_quoted() {
    assert_eq!(
        case().sql("select * from {{ ref('orders') }} join {{ source('shop', 'orders') }} {# no #}on {{ this }}"),
        "select * from \"staging\".\"orders\" join \"raw\".\"orders\" on \"marts\".\"m\""
    );
    assert_eq!(
        case().sql("{{ ref('pkg', 'orders') }}"),
        "\"staging\".\"orders\""
    );
    assert_eq!(
        case().sql(
            "{{ this.schema }}.{{ this.identifier }} {{ target.name }} {{ ref('orders').name }}"
        ),
        "marts.m dev orders"
    );
}

#[test]
fn references_are_found_with_their_places() {
    let text = "select * from {{ ref('orders') }}\njoin {{ source(\"shop\", 'orders') }}\njoin {{ ref('orders', v=2) }}";
    let scan = case().scan(text);
    let keys: Vec<String> = scan
        .references
        .iter()
        .map(towpath_template::Reference::key)
        .collect();
    assert_eq!(keys, ["orders", "shop.orders", "orders.v2"]);
    assert_eq!(scan.references[1].kind, ReferenceKind::Source);
    let (start, end) = scan.references[1].offset.unwrap();
    assert_eq!(&text[start..end], "source(\"shop\", 'orders')");
}

#[test]
fn both_incremental_branches_are_seen() {
    let text = "{{ config(materialized='incremental', unique_key=['a', 'b']) }}
select * from {{ ref('orders') }}
{% if is_incremental() %} where t > (select max(t) from {{ this }}) and x in (select x from {{ ref('customers') }})
{% else %} where x = '{{ var('first', 'y') }}' {% endif %}";
    let scan = case().scan(text);
    assert_eq!(scan.references.len(), 2);
    assert!(scan.incremental && !scan.introspective);
    assert_eq!(
        serde_json::Value::Object(scan.config),
        json!({"materialized": "incremental", "unique_key": ["a", "b"]})
    );
    assert_eq!(scan.vars[0].0, "first");
    assert!(scan.vars[0].1.is_some());

    let mut first = case();
    assert!(first.sql(text).contains("where x = 'y'"));
    let mut later = case();
    later.incremental = true;
    assert!(
        later
            .sql(text)
            .contains("select max(t) from \"marts\".\"m\"")
    );
    later.full_refresh = true;
    assert!(later.sql(text).contains("where x = 'y'"));
}

#[test]
fn variables_have_values_defaults_or_a_way_out() {
    let mut case = case();
    case.vars.insert("since".to_owned(), json!("2013-01-01"));
    case.vars.insert("list".to_owned(), json!([1, 2]));
    case.env.insert("REGION".to_owned(), "eu".to_owned());
    assert_eq!(case.sql("{{ var('since') }} {{ var('other', 3) }} {% for x in var('list') %}{{ x }},{% endfor %}"), "2013-01-01 3 1,2,");
    assert_eq!(
        case.sql("{{ env_var('REGION') }}-{{ env_var('ZONE', 'a') }} {{ var.has_var('since') }}"),
        "eu-a True"
    );
    let text = "select\n  {{ var('sinc') }}";
    let mistake = case.mistake(text);
    assert_eq!(
        (mistake.code, mistake.message.as_str()),
        ("M0324", "the variable `sinc` has no value")
    );
    assert_eq!(mistake.label.as_deref(), Some("did you mean `since`?"));
    let (start, end) = mistake.offset.unwrap();
    assert!(
        text[start..end].contains("var('sinc')"),
        "{}",
        &text[start..end]
    );
    assert_eq!(case.mistake("{{ env_var('NOPE') }}").code, "M0325");
    assert_eq!(
        case.mistake("{{ env_var('DBT_ENV_SECRET_X') }}").code,
        "M0325"
    );
    let scan = case.scan("{{ env_var('NOPE') }} {{ env_var('ZONE', 'a') }}");
    assert_eq!(scan.env_vars[1].default.as_deref(), Some("a"));
}

#[test]
fn macros_call_each_other_across_files() {
    let mut case = case()
        .macros("{% macro cents(x, digits=2) -%} round({{ x }} / {{ hundred() }}, {{ digits }}) {%- endmacro %}")
        .macros("{% macro hundred() %}{{ return(100) }}{% endmacro %}\n{% macro both(a, b) %}{{ cents(a) }} + {{ cents(b, digits=0) }}{% endmacro %}");
    assert_eq!(
        case.sql("select {{ both('x', 'y') }}"),
        "select round(x / 100, 2) + round(y / 100, 0)"
    );
    assert_eq!(case.sql("{{ hundred() + 1 }}"), "101");
}

#[test]
fn macros_see_references_config_and_return_values() {
    let mut case = case()
        .macros("{% macro from_orders() %}from {{ ref('orders') }}{% endmacro %}")
        .macros("{% macro names() %}{% do return(['a', 'b']) %}{% endmacro %}{% macro first(xs) %}{{ return(names()[0]) }}{% endmacro %}");
    assert_eq!(
        case.sql("select {% for n in names() %}{{ n }}{{ ', ' if not loop.last }}{% endfor %} {{ from_orders() }}"),
        "select a, b from \"staging\".\"orders\""
    );
    assert_eq!(case.sql("{{ first([]) }}"), "a");
    assert_eq!(
        case.scan("{{ from_orders() }}").references[0].parts,
        ["orders"]
    );
}

#[test]
fn call_blocks_and_dispatch_work_across_files() {
    let mut case = case()
        .macros("{% macro wrapped(name) %}<{{ name }}:{{ caller() }}>{% endmacro %}")
        .macros("{% macro default__now2() %}now(){% endmacro %}{% macro now2() %}{{ return(adapter.dispatch('now2', 'p')()) }}{% endmacro %}");
    assert_eq!(
        case.sql("{% call wrapped('n') %}x{{ 1 + 1 }}{% endcall %} {{ now2() }}"),
        "<n:x2> now()"
    );
}

#[test]
fn mistakes_in_macros_name_the_macros_file() {
    let macros = "{# some text #}\n{% macro bad(x) %}\n  {{ ref('ordrs') }}\n{% endmacro %}";
    let mut case = case().macros(macros);
    let mistake = case.mistake("select {{ bad(1) }}");
    assert_eq!(
        (mistake.code, mistake.file.as_str()),
        ("M0322", "macros/m0.sql")
    );
    assert_eq!(mistake.label.as_deref(), Some("did you mean `orders`?"));
    let (start, end) = mistake.offset.unwrap();
    assert!(
        macros[start..end].contains("ref('ordrs')"),
        "{}",
        &macros[start..end]
    );
}

#[test]
fn endless_macros_are_stopped() {
    let mut case = case()
        .macros("{% macro a() %}{{ b() }}{% endmacro %}{% macro b() %}{{ a() }}{% endmacro %}");
    let mistake = case.mistake("{{ a() }}");
    assert_eq!(mistake.code, "M0326");
    assert!(
        mistake.message.contains("64 levels deep"),
        "{}",
        mistake.message
    );
}

#[test]
fn ephemeral_models_stand_in_front() {
    let mut case = case()
        .ephemeral(
            "base",
            "{{ config(materialized='ephemeral') }}select * from {{ ref('orders') }}",
        )
        .ephemeral(
            "middle",
            "with x as (select 1) select * from {{ ref('base') }}, x",
        );
    assert_eq!(
        case.sql("select * from {{ ref('middle') }} m join {{ ref('base') }} b on true"),
        "with __dbt__cte__base as (\nselect * from \"staging\".\"orders\"\n), __dbt__cte__middle as (\n\
         with x as (select 1) select * from __dbt__cte__base, x\n)\n\
         select * from __dbt__cte__middle m join __dbt__cte__base b on true"
    );
    assert_eq!(
        case.sql("with a as (select * from {{ ref('base') }}) select * from a"),
        "with __dbt__cte__base as (\nselect * from \"staging\".\"orders\"\n), a as (select * from __dbt__cte__base) select * from a"
    );
    case.ephemerals.insert(
        "base".to_owned(),
        "select * from {{ ref('middle') }}".to_owned(),
    );
    assert_eq!(case.mistake("{{ ref('middle') }}").code, "M0322");
}

#[test]
fn places_in_the_sql_lead_back_to_the_template() {
    let text = "{{ config(materialized='table') }}\nselect customer, {{ 'total' }}\nfrom {{ ref('base') }} -- ü\nwhere {% if true %}statsu{% endif %} = 1";
    let mut case = case().ephemeral("base", "select statsu from {{ ref('orders') }}");
    let rendered = case.try_render(text).unwrap();
    for word in ["customer", "where", "statsu", "= 1"] {
        let at = rendered.sql.rfind(word).unwrap();
        let (start, end) = rendered.map.locate((at, at + word.len())).unwrap();
        assert_eq!(&text[start..end], word);
    }
    let at = rendered.sql.find("total").unwrap();
    let (start, end) = rendered.map.locate((at, at + 5)).unwrap();
    assert_eq!(&text[start..end], "{{ 'total' }}");
    let at = rendered.sql.find("statsu").unwrap();
    assert_eq!(rendered.map.locate((at, at + 6)), None);
}

#[test]
fn whitespace_is_jinjas() {
    assert_eq!(
        case().sql("a\n{%- if true %}\n  b\n{%- endif -%}\n  c\n"),
        "a\n  bc"
    );
    assert_eq!(
        case().sql("{% set x %} v {% endset %}[{{ x }}] {% raw %}{{ x }}{% endraw %}"),
        "[ v ] {{ x }}"
    );
    assert_eq!(
        case().sql("{% set x %}v{% endset %}{{ 'same' if x == 'v' else 'other' }}"),
        "same"
    );
}

#[test]
fn questions_are_asked_once_and_in_order() {
    let mut case = case();
    let sql = "select distinct method from \"staging\".\"orders\"";
    let rows = vec![vec![json!("card")], vec![json!("cash")]];
    case.warehouse
        .rows
        .insert(sql.to_owned(), (vec!["method".to_owned()], rows));
    case.warehouse.tables.insert(
        TableName::new("staging", "orders"),
        vec!["id", "Method", "total"],
    );
    let text = "{% set methods = run_query('select distinct method from ' ~ ref('orders')) %}\
{% if execute %}{% set methods = methods.columns[0].values() %}{% endif %}\
select {% for m in methods %}sum(case when method = '{{ m }}' then total end) as {{ m }}, {% endfor %}\
{{ dbt_utils.star(from=ref('orders'), except=['method'], relation_alias='o') }}";
    assert_eq!(
        case.sql(text),
        "select sum(case when method = 'card' then total end) as card, sum(case when method = 'cash' then total end) as cash, o.\"id\",\n  o.\"total\""
    );
    assert_eq!(case.warehouse.asked.len(), 2);
    let scan = case.scan(text);
    assert!(scan.introspective);
    assert_eq!(scan.references.len(), 1);
}

#[test]
fn an_answer_that_is_not_there_is_pending() {
    let mut case = case();
    match case.try_render(
        "{% for c in adapter.get_columns_in_relation(ref('orders')) %}{{ c.quoted }}{% endfor %}",
    ) {
        Err(TemplateProblem::NeedsWarehouse(why)) => assert_eq!(why, "columns of staging.orders"),
        other => panic!("{other:?}"),
    }
    case.warehouse
        .tables
        .insert(TableName::new("staging", "orders"), vec!["a", "b"]);
    assert_eq!(
        case.sql("{% for c in adapter.get_columns_in_relation(ref('orders')) %}{{ c.quoted }} {{ c.dtype }};{% endfor %}"),
        "\"a\" text;\"b\" text;"
    );
    assert_eq!(
        case.sql("{{ load_relation(ref('orders')) is none }} {{ load_relation(this) is none }} {{ adapter.get_relation(none, 'staging', 'orders') }}"),
        "False True \"staging\".\"orders\""
    );
}

#[test]
fn statements_keep_their_result() {
    let mut case = case();
    case.warehouse.rows.insert(
        "select 7 as n".to_owned(),
        (vec!["n".to_owned()], vec![vec![json!(7)]]),
    );
    assert_eq!(
        case.sql("{% call statement('s', fetch_result=True) %}select 7 as n{% endcall %}{{ load_result('s')['data'][0][0] }} {{ load_result('s').table.columns['n'].values()[0] }}"),
        "7 7"
    );
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let mut case = case();
    for (text, code, word) in [
        ("select {{ rfe('orders') }}", "M0321", "rfe('orders')"),
        ("select {{ missing_name }}", "M0321", "missing_name"),
        ("select {{ 1 + }}", "M0320", "}}"),
        ("select {% if x %}", "M0320", ""),
        (
            "{{ exceptions.raise_compiler_error('stop: ' ~ 1) }}",
            "M0327",
            "raise_compiler_error",
        ),
        ("{{ ref() }}", "M0323", "ref()"),
        ("{{ return(1) }}", "M0328", "return(1)"),
        ("{% set xs = [] %}{% do xs.append(1) %}", "M0321", "append"),
    ] {
        let mistake = case.mistake(text);
        assert_eq!(mistake.code, code, "{text}: {mistake:?}");
        let (start, end) = mistake
            .offset
            .unwrap_or_else(|| panic!("{text}: {mistake:?}"));
        let shown = &text[start..end];
        assert!(shown.contains(word), "{text}: {shown}: {mistake:?}");
    }
    assert_eq!(
        case.mistake("{{ exceptions.raise_compiler_error('stop: ' ~ 1) }}")
            .message,
        "stop: 1"
    );
    assert_eq!(
        case.mistake("{{ rfe('orders') }}").label.as_deref(),
        Some("did you mean `ref`?")
    );
}

#[test]
fn python_methods_work() {
    let mut case = case();
    for (text, out) in [
        ("{{ 'a_b'.upper().split('_')[1] }}", "B"),
        ("{{ '{}-{x}'.format(1, x=2) }}", "1-2"),
        ("{{ ', '.join(['a', 'b']) }}", "a, b"),
        (
            "{% for k, v in {'a': 1, 'b': 2}.items() %}{{ k }}{{ v }}{% endfor %}",
            "a1b2",
        ),
        (
            "{{ {'a': 1}.get('b', 'none') }} {{ {'a': 1}.get('b') }}",
            "none None",
        ),
        (
            "{{ tojson({'a': [1, true]}) }} {{ fromjson('{\"x\": 3}').x }}",
            "{\"a\":[1,true]} 3",
        ),
        (
            "{{ dbt.datediff('a', 'b', 'day') }} {{ dbt_utils.generate_surrogate_key(['a']) }}",
            "datediff('day', a, b) md5(coalesce(cast(a as varchar), '_dbt_utils_surrogate_key_null_'))",
        ),
    ] {
        assert_eq!(case.sql(text), out, "{text}");
    }
}

#[test]
fn templates_that_run_on_are_stopped() {
    let grows = |text: &str| {
        format!(
            "{{% set ns = namespace(s='x', l=[1]) %}}{{% for i in range(60) %}}{text}{{% endfor %}}select 1"
        )
    };
    for (text, code) in [
        (grows("{% set ns.s = ns.s ~ ns.s %}"), "T0411"),
        (grows("{% set ns.s = ns.s + ns.s %}"), "T0411"),
        (grows("{% set ns.l = ns.l + ns.l %}"), "T0411"),
        (grows("{% set ns.s = ns.s * 9 %}"), "T0411"),
        (grows("{% set ns.l = [1] + (ns.l) * 2 %}"), "T0411"),
        (grows("{% set ns.s = ns.s|replace('x', 'xx') %}"), "T0411"),
        (grows("{% set ns.s = ns.s.replace('x', 'xx') %}"), "T0411"),
        (grows("{% set ns.s = [ns.s, ns.s]|join('') %}"), "T0411"),
        (grows("{% set ns.s = ns.s.join(['a', 'b', 'c']) ~ ns.s %}"), "T0411"),
        (grows("{% set ns.l = [ns.l, ns.l] %}") + "{{ ns.l }}", "T0411"),
        (grows("{% set ns.l = [ns.l, ns.l] %}") + "{{ ns.l|tojson }}", "T0411"),
        (grows("{% set ns.l = {'a': ns.l, 'b': ns.l} %}") + "{% set y = ns.l|string %}", "T0411"),
        (grows("{% set ns.l = dict(a=ns.l, b=ns.l) %}") + "{% set y = ns.l|string %}", "T0411"),
        (grows("{% set ns.l = ns.l|zip(ns.l) %}") + "{{ ns.l|tojson }}", "T0411"),
        (grows("{% set ns.l = ns.l|chain(ns.l) %}"), "T0411"),
        (grows("{% set ns.l = [ns.l, ns.l] %}{% if ns.l == [] %}x{% endif %}"), "T0411"),
        ("{% set ns = namespace(l=[1]) %}{% for i in range(9999) %}{% set ns.l = [ns.l] %}{% endfor %}{{ ns.l }}".to_owned(), "T0411"),
        ("{{ '%09000000000d'|format(1) }}".to_owned(), "T0411"),
        ("{{ '%(a)-9000000000s'|format(a=1) }}".to_owned(), "T0411"),
        ("{{ '%.*f'|format(900000000, 1.5) }}".to_owned(), "T0411"),
        ("{{ '%.900000000f'|format(1.5) }}".to_owned(), "T0411"),
        ("{{ [1]|batch(9000000000, 'x') }}".to_owned(), "T0411"),
        ("{{ [1]|slice(9000000000, 'x') }}".to_owned(), "T0411"),
        ("{{ [[1]]|tojson(indent=900000000) }}".to_owned(), "T0411"),
        ("{{ 'x' * 10000000000 }}".to_owned(), "T0411"),
        ("{{ 'x' * 2 ** 40 }}".to_owned(), "T0411"),
        ("{{ 'x' * 100000 * 100000 }}".to_owned(), "T0411"),
        ("{{ [0] * 100000000 }}".to_owned(), "T0411"),
        ("{{ 'x'|indent(width=900000000) }}".to_owned(), "T0411"),
        (
            "{% for a in range(9999) %}{% for b in range(9999) %}{% for c in range(9999) %}{{ a }}{% endfor %}{% endfor %}{% endfor %}".to_owned(),
            "T0410",
        ),
    ] {
        let mistake = case().mistake(&text);
        assert_eq!(mistake.code, code, "{text}: {}", mistake.message);
        assert!(!mistake.help.is_empty(), "{text}");
    }
}

#[test]
fn macros_share_the_steps_of_their_template() {
    let mut case = case().macros(
        "{% macro a(n) %}{% for i in range(1000) %}{% set x = i %}{% endfor %}{% endmacro %}\n\
         {% macro b() %}{% for i in range(100) %}{{ a(i ~ '') }}{% endfor %}{% endmacro %}",
    );
    let mistake = case.mistake("{% for i in range(1000) %}{{ b() }}{% endfor %}");
    assert_eq!(mistake.code, "T0410", "{}", mistake.message);
}

#[test]
fn operators_mean_what_they_meant() {
    let mut case =
        case().macros("{% macro m(a, b='x' ~ 'y') %}{{ a + 1 }}{{ b * 2 }}{% endmacro %}");
    assert_eq!(
        case.sql("{{ m(1) }} {{ -2 + 3 * 4 }} {{ 2 * 3 ** 2 }} {{ [1] + [2] }} {{ 'a' ~ 1 ~ none }} {{ 2 * 'ab' }} {{ 1.5 * 2 }} {{ not 1 + 1 == 3 }}"),
        "2xyxy 10 18 [1, 2] a1None abab 3.0 True"
    );
    let mistake = case.mistake("select 1\n{{ 1 + 'a' ~ nope() }}");
    let text = "select 1\n{{ 1 + 'a' ~ nope() }}";
    let (start, _) = mistake.offset.unwrap();
    assert!(
        start >= text.find('{').unwrap() && start < text.len(),
        "{start}"
    );
}

#[test]
fn filters_with_limits_mean_what_they_meant() {
    assert_eq!(
        case().sql("{{ '%05.1f %-3s|%%'|format(2.25, 'a') }} {{ [1, {'a': [2]}]|tojson }} {{ [1, 2, 3]|batch(2, 0)|list }} {{ [1, 2]|string }} {{ 5|string }} {{ [1, 2, 3]|slice(2)|list }} {{ '{}-{}'.format(1, [2]) }} {{ {'a': 1}.a }} {{ [3, 4][1] }}"),
        "002.2 a  |% [1, {\"a\": [2]}] [[1, 2], [3, 0]] [1, 2] 5 [[1, 2], [3]] 1-[2] 1 4"
    );
}

/// The stack that the product gives its threads: those of tests are smaller.
const STACK_BYTES: usize = 256 << 20;

/// The code of the mistake in a template that is rendered on such a stack; none when it is rendered.
fn code_on_a_stack(text: String) -> Option<&'static str> {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    let found = thread.spawn(move || match case().try_render(&text) {
        Ok(_) => None,
        Err(TemplateProblem::Wrong(mistake)) => Some(mistake.code),
        Err(other) => panic!("{other:?}"),
    });
    found.unwrap().join().unwrap()
}

#[test]
fn a_chain_that_hides_behind_commas_or_quotes_is_refused() {
    let brackets = |open: &str, link: &str, times: usize| {
        let nested = format!(
            "{}1{}",
            open.repeat(40),
            format!("{})", link.repeat(times)).repeat(40)
        );
        format!("{{{{ {nested} }}}}")
    };
    for (what, text) in [
        (
            "filters",
            format!("{{{{ 'x'{} }}}}", "|replace('a','b')".repeat(3_000)),
        ),
        (
            "slices",
            format!("{{{{ 'x'{} }}}}", "[dict(a=1,b=2)]".repeat(3_000)),
        ),
        ("calls", format!("{{{{ 'x'{} }}}}", ".a(1,2)".repeat(3_000))),
        (
            "tests",
            format!("{{{{ 1{} }}}}", " is in([1,2])".repeat(3_000)),
        ),
        ("products", format!("{{{{ 1{} }}}}", " * 1".repeat(2_000))),
        (
            "an escaped quote",
            format!(r"{{{{ 'it\'s'{} }}}}", "|upper".repeat(3_000)),
        ),
        (
            "an escaped backslash",
            format!(r#"{{{{ "\\"{} }}}}"#, "|upper".repeat(3_000)),
        ),
        ("brackets", brackets("(", "|abs", 80)),
        (
            "an argument",
            format!("{{{{ dict(a=1, b={}1) }}}}", "-".repeat(12_000)),
        ),
        (
            "a tag without an end",
            format!("{{{{ {}", "not ".repeat(3_000)),
        ),
        (
            "a block without an end",
            format!("{{% if {}", "not ".repeat(3_000)),
        ),
    ] {
        assert_eq!(code_on_a_stack(text), Some("M0320"), "{what}");
    }
}

#[test]
fn long_texts_and_lists_are_no_chains_and_what_passes_fits_the_stack() {
    let long = "a, b (c) [d] ".repeat(5_000);
    let items = |item: &str, times: usize| vec![item; times].join(", ");
    for (what, text) in [
        (
            "a text",
            format!(r"select {{{{ 'it\'s {long}' | length }}}}"),
        ),
        (
            "a text of the other quotes",
            format!(r#"select {{{{ "it\"s {long}" | length }}}}"#),
        ),
        (
            "a list",
            format!("select {{{{ [{}] | length }}}}", items("[1, 2]", 5_000)),
        ),
        (
            "a map",
            format!(
                "select {{{{ {{'a': [{}], 'b': 1}} | length }}}}",
                items("{'x': 1}", 5_000)
            ),
        ),
        (
            "an argument",
            format!(
                "select {{{{ dict(a=[{}], b=2) | length }}}}",
                items("10", 5_000)
            ),
        ),
        ("minus", format!("select {{{{ {}1 }}}}", "-".repeat(9_990))),
        ("not", format!("select {{{{ {}1 }}}}", "not ".repeat(2_490))),
        (
            "filters",
            format!("select {{{{ 1{} }}}}", "|abs".repeat(2_490)),
        ),
        (
            "filters of lists",
            format!("select {{{{ 'x'{} }}}}", "|replace('a','b')".repeat(900)),
        ),
        (
            "attributes",
            format!("select {{{{ 'x'[{}1] or 1 }}}}", "-".repeat(9_900)),
        ),
        (
            "else",
            format!("select {{{{ {}1 }}}}", "1 if 1 else ".repeat(830)),
        ),
    ] {
        assert_eq!(code_on_a_stack(text), None, "{what}");
    }
}

#[test]
fn a_chain_longer_than_the_stack_is_refused() {
    for chain in ["not ", "-", "1 + ", "1 if true else "] {
        let text = format!("select {{{{ {}1 }}}}", chain.repeat(12_000));
        match case().try_render(&text) {
            Err(TemplateProblem::Wrong(mistake)) => {
                assert_eq!(mistake.code, "M0320", "{chain}");
                assert!(mistake.message.contains("without a comma"), "{mistake:?}");
            }
            other => panic!("{chain}: {other:?}"),
        }
    }
    let list: Vec<String> = (0..5_000).map(|at| at.to_string()).collect();
    let text = format!("select {{{{ [{}] | length }}}}", list.join(", "));
    assert!(case().try_render(&text).is_ok());
}
