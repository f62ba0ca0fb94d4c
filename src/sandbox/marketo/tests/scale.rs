//! The subscription at its size: what calls look at is the same with a hundred thousand members as with a thousand.

use serde_json::{Value, json};

use super::super::*;
use crate::sandbox::clock::Clock;
use call::Call;
use envelope::{Answer, Refusal};

fn call(key: impl ToString, params: &[(&str, String)], body: Value) -> Call {
    let params = params.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    Call { path_key: key.to_string(), params, body, horizon: i64::MAX, ..Call::default() }
}

/// How many rows each of the calls of a day looks at, in a program of so many members.
fn work(members: usize) -> Vec<(&'static str, u64)> {
    let clock = Clock::default();
    let marketo = Marketo::new(Options::default(), clock.reader());
    marketo.with(|world| {
        world.load(super::seed()).unwrap();
        let ids: Vec<i64> = (0..members)
            .map(|at| {
                let fields = [("email".to_owned(), json!(format!("p{at}@b.c")))].into();
                world.add_person(NewPerson { id: None, fields })
            })
            .collect();
        world.set_status_of_all(1044, &ids, "Invited").unwrap();
        clock.advance(3600);
        let since = world.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        let some: Vec<i64> = ids.iter().copied().take(300).collect();
        let listed = some.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let of = |ids: &[i64], field: &str| json!(ids.iter().map(|id| json!({field: id})).collect::<Vec<_>>());
        let mut done = Vec::new();
        let mut measure = |world: &mut World, what, act: &dyn Fn(&mut World) -> Result<Answer, Refusal>| {
            let before = world.visited();
            let answer = act(world).unwrap();
            done.push((what, world.visited() - before));
            answer
        };
        measure(world, "change statuses", &|world| {
            let body = json!({"statusName": "Attended", "input": of(&some, "leadId")});
            members::set_status(world, &call(1044, &[], body))
        });
        measure(world, "members by person", &|world| {
            let params = [("filterType", "leadId".to_owned()), ("filterValues", listed.clone())];
            members::query(world, &call(1044, &params, Value::Null))
        });
        measure(world, "a page of members", &|world| members::by_program(world, &call(1044, &[], Value::Null)));
        measure(world, "people by id", &|world| {
            let params = [("filterType", "id".to_owned()), ("filterValues", listed.clone())];
            leads::by_filter(world, &call("", &params, Value::Null))
        });
        measure(world, "people by address", &|world| {
            let params = [("filterType", "email".to_owned()), ("filterValues", "p7@b.c,p8@b.c".to_owned())];
            leads::by_filter(world, &call("", &params, Value::Null))
        });
        measure(world, "programs of a person", &|world| members::by_lead(world, &call(some[0], &[], Value::Null)));
        measure(world, "new people", &|world| {
            let input: Vec<Value> = (0..300).map(|n| json!({"email": format!("new{n}@b.c")})).collect();
            lead_writes::sync(world, &call("", &[], json!({"action": "createOnly", "input": input})))
        });
        let token = measure(world, "a place in the log", &|world| {
            activities::paging_token(world, &call("", &[("sinceDatetime", since.clone())], Value::Null))
        });
        let Answer::Bare { next: Some(token) } = token else { panic!("no token") };
        measure(world, "what changed", &|world| {
            let params = [("nextPageToken", token.clone()), ("activityTypeIds", "104".to_owned())];
            activities::list(world, &call("", &params, Value::Null))
        });
        measure(world, "remove members", &|world| {
            members::delete(world, &call(1044, &[], json!({"input": of(&some, "leadId")})))
        });
        measure(world, "delete people", &|world| {
            lead_writes::delete(world, &call("", &[], json!({"input": of(&some[..10], "id")})))
        });
        done
    })
}

#[test]
fn a_hundred_thousand_members_slow_nothing_down() {
    let few = work(1_000);
    assert!(few.iter().all(|(what, rows)| *rows > 0 || *what == "a place in the log"), "{few:?}");
    assert_eq!(work(100_000), few);
}
