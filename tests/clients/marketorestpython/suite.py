"""marketorestpython against the emulated Marketo. See tests/clients/README.md."""

import hashlib
import json
import os
import unittest

import requests
from marketorestpython.client import MarketoClient

EMULATORS = json.loads(os.environ["EMULATORS"])
LONG_AGO = "2016-09-15T10:53:00Z"


def control(method, path, body=None):
    """Acts as a marketing user, or as an administrator."""
    answer = requests.request(method, EMULATORS["control"] + path, json=body)
    answer.raise_for_status()
    return answer.json()


def options(**changes):
    control("PATCH", "/marketo/options", changes)


def once(path, code, message):
    """The next call of a path is answered with an error of the vendor's, in its envelope."""
    body = {"requestId": "e42b#14272d07d78", "success": False, "errors": [{"code": code, "message": message}]}
    answer = {"status": 200, "content_type": "application/json;charset=UTF-8", "body": json.dumps(body)}
    control("POST", "/faults", {"vendor": "marketo", "path_contains": path, "action": {"answer": answer}})


def client(secret=None):
    # It takes its token out of the arguments of a call, so that a call made again has none: it is told not to try again.
    marketo = MarketoClient(
        "123-ABC-456", EMULATORS["marketo_client_id"], secret or EMULATORS["marketo_client_secret"], max_retry_time=0
    )
    # All that it takes: it makes its address of the Munchkin id.
    marketo.host = EMULATORS["marketo"]
    return marketo


class Marketo(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        statuses = [
            {"name": "Invited", "step": 10},
            {"name": "No Show", "step": 30},
            {"name": "Attended", "step": 30, "success": True},
        ]
        control("POST", "/marketo/channels", {"name": "Online Advertising", "statuses": statuses})
        control("POST", "/marketo/channels", {"name": "Newsletter", "applicable_program_type": "email", "statuses": statuses})
        control("POST", "/marketo/fields", {"name": "erpId", "display": "ERP Id", "kind": "string", "searchable": True})
        cls.marketo = client()

    def setUp(self):
        # Its pace is five reads and five writes in a second, twice what Marketo grants.
        control("POST", "/clock", {"advance_seconds": 20})
        control("DELETE", "/marketo/counters")
        name = self.id().rsplit(".", 1)[-1]
        self.name = name
        self.program = control("POST", "/marketo/programs", {"name": name, "channel": "Online Advertising"})["id"]

    def call(self, method, **arguments):
        return self.marketo.execute(method=method, **arguments)

    def refused(self, code, method, **arguments):
        with self.assertRaises(Exception) as caught:
            self.call(method, **arguments)
        self.assertEqual(caught.exception.args[0]["code"], code, caught.exception)

    def people(self, count, **fields):
        people = [{"email": f"{self.name}{n}@people.example", "lastName": f"Person{n}", **fields} for n in range(count)]
        return control("POST", "/marketo/people", people)["ids"]

    def join(self, ids, status="Invited"):
        control("POST", f"/marketo/programs/{self.program}/members", {"lead_ids": ids, "status": status})

    def test_log_in(self):
        marketo = client()
        marketo.authenticate()
        self.assertEqual(marketo.token_type, "bearer")
        self.assertLessEqual(marketo.expires_in, 3600)
        self.assertTrue(marketo.scope)
        again = client()
        again.authenticate()
        self.assertEqual(again.token, marketo.token, "one token per service")
        with self.assertRaisesRegex(Exception, "client"):
            client("wrong").authenticate()

    def test_people_are_written_read_and_found(self):
        leads = [{"email": "write1@people.example", "firstName": "Ada"}, {"email": "write2@people.example"}]
        made = self.call("create_update_leads", leads=leads, action="createOnly", lookupField="email")
        self.assertEqual([row["status"] for row in made], ["created", "created"])
        again = self.call("create_update_leads", leads=leads, action="createOnly")
        self.assertEqual([row["reasons"][0]["code"] for row in again], ["1005", "1005"])
        changed = self.call("create_update_leads", leads=[{"email": "write1@people.example", "erpId": "E1"}])
        self.assertEqual(changed, [{"id": made[0]["id"], "status": "updated"}])
        nobody = self.call("create_update_leads", leads=[{"email": "nobody@people.example"}], action="updateOnly")
        self.assertEqual(nobody[0]["reasons"][0]["code"], "1004")
        twice = self.call("create_update_leads", leads=[{"email": "write2@people.example"}], action="createDuplicate")
        both = self.call("create_update_leads", leads=[{"email": "write2@people.example"}])
        self.assertEqual(both[0]["reasons"][0]["code"], "1007")
        strange = self.call("create_update_leads", leads=[{"email": "write3@people.example", "shoeSize": 7}])
        self.assertEqual(strange[0]["reasons"][0]["code"], "1006")

        one = self.call("get_lead_by_id", id=made[0]["id"], fields="email,firstName,company")
        self.assertEqual(one, [{"id": made[0]["id"], "email": "write1@people.example", "firstName": "Ada", "company": None}])
        found = self.call("get_multiple_leads_by_filter_type", filterType="erpId", filterValues=["E1"], fields="id,erpId")
        self.assertEqual(found, [{"id": made[0]["id"], "erpId": "E1"}])
        both = self.call("get_multiple_leads_by_filter_type", filterType="email", filterValues=["write2@people.example"])
        self.assertEqual({row["id"] for row in both}, {made[1]["id"], twice[0]["id"]})
        self.assertEqual(control("GET", "/marketo/counters")["second_person_for_email"], 1)

    def test_long_filters_go_in_a_form_and_pages_are_followed(self):
        ids = self.people(300)
        values = [str(id) for id in ids]
        found = self.call("get_multiple_leads_by_filter_type", filterType="id", filterValues=values, batchSize=120)
        self.assertEqual([row["id"] for row in found], ids)
        many = [str(number) for number in range(1, 302)]
        self.refused("1003", "get_multiple_leads_by_filter_type", filterType="id", filterValues=many)
        self.assertEqual(control("GET", "/marketo/counters")["over_limit_batches"], 1)

    def test_descriptions(self):
        fields = {field["rest"]["name"]: field for field in self.call("describe")}
        self.assertTrue(fields["sfdcLeadId"]["rest"]["readOnly"])
        two = self.call("describe2")[0]
        self.assertIn(["erpId"], two["searchableFields"])
        members = self.call("describe_program_member")[0]
        self.assertEqual(members["dedupeFields"], ["leadId", "programId"])
        lengths = {field["name"]: field.get("length") for field in members["fields"]}
        self.assertEqual((lengths["statusName"], lengths["webinarUrl"], lengths["leadId"]), (255, 2000, None))
        self.assertEqual(self.call("get_lead_partitions")[0]["name"], "Default")

    def test_push_merge_and_delete(self):
        leads = [{"email": "push1@people.example"}, {"email": "push2@people.example"}]
        pushed = self.call("push_lead", leads=leads, programName=self.name, programStatus="Attended", source="s", reason="r")
        self.assertEqual([row["status"] for row in pushed], ["created", "created"])
        winner, loser = (row["id"] for row in pushed)
        self.refused("1013", "push_lead", leads=leads, programName="Nowhere")
        members = self.call("get_multiple_leads_by_program_id", programId=self.program, fields="email")
        self.assertEqual([row["membership"]["progressionStatus"] for row in members], ["Attended", "Attended"])
        self.assertTrue(self.call("merge_lead", id=winner, leadIds=[loser]))
        self.assertEqual(self.call("get_lead_by_id", id=loser), [])
        self.refused("1004", "merge_lead", id=winner, leadIds=[loser])
        gone = self.call("delete_lead", id=[winner, loser])
        self.assertEqual([row["status"] for row in gone], ["deleted", "skipped"])
        self.assertEqual(gone[1]["reasons"][0]["code"], "1004")
        deleted = self.call("get_deleted_leads", sinceDatetime=LONG_AGO)
        self.assertIn(winner, [row["leadId"] for row in deleted])

    def test_members_are_paged_and_written(self):
        ids = self.people(7)
        self.join(ids)
        members = self.call("get_multiple_leads_by_program_id", programId=self.program, fields="email,sfdcLeadId", batchSize=3)
        self.assertEqual([row["id"] for row in members], ids)
        self.assertEqual(members[0]["membership"]["progressionStatus"], "Invited")
        pages = self.call("get_multiple_leads_by_program_id_yield", programId=self.program, batchSize=3)
        self.assertEqual([len(page) for page in pages], [3, 3, 1])
        moved = self.call("change_lead_program_status", id=self.program, leadIds=[ids[0], 999999], status="Attended")
        self.assertEqual([row["status"] for row in moved], ["updated", "skipped"])
        back = self.call("change_lead_program_status", id=self.program, leadIds=[ids[0]], status="Invited")
        self.assertEqual(back[0]["reasons"][0]["code"], "1037")
        self.refused("1025", "change_lead_program_status", id=self.program, leadIds=[ids[0]], status="attended")
        self.refused("1013", "change_lead_program_status", id=1, leadIds=[ids[0]], status="Attended")
        data = [{"leadId": ids[0], "registrationCode": "R1"}, {"leadId": 999999, "registrationCode": "R2"}]
        written = self.call("sync_program_member_data", id=self.program, input=data)
        self.assertEqual([row["status"] for row in written], ["updated", "skipped"])
        self.assertEqual(written[1]["reasons"], [{"code": "1013", "message": "Membership not found"}])
        self.refused("1003", "sync_program_member_data", id=self.program, input=[{"leadId": 1}] * 301)
        self.assertEqual(control("GET", "/marketo/counters")["coerced_statuses"], 0)

    def test_programs(self):
        made = self.call(
            "create_program", folderId=7, folderType="Folder", name="Made by a client", type="Email", channel="Newsletter",
            tags={"Presenter": "Dennis"}, costs=[{"startDate": "2015-01-01", "cost": 2000, "note": "Google Adwords"}],
        )[0]
        self.assertEqual((made["type"], made["status"], made["folder"]["value"]), ("Email", "unlocked", 7))
        self.assertEqual(made["tags"], [{"tagType": "Presenter", "tagValue": "Dennis"}])
        self.assertEqual(made["costs"], [{"startDate": "2015-01-01", "cost": 2000, "note": "Google Adwords"}])
        self.assertTrue(made["createdAt"].endswith("Z+0000"))
        self.assertNotIn("sfdcId", made)
        self.refused("709", "create_program", folderId=7, folderType="Folder", name="Made by a client", type="Email", channel="Newsletter")
        by_tag = self.call("get_program_by_tag_type", tagType="Presenter", tagValue="Dennis")
        self.assertEqual([row["id"] for row in by_tag], [made["id"]])
        self.call("approve_program", id=made["id"])
        self.assertEqual(self.call("get_program_by_id", id=made["id"])[0]["status"], "locked")
        self.refused("709", "approve_program", id=self.program)
        self.call("unapprove_program", id=made["id"])
        changed = self.call("update_program", id=made["id"], description="New", tags={"Presenter": "Maria"})[0]
        self.assertEqual((changed["description"], changed["tags"][0]["tagValue"]), ("New", "Maria"))
        cloned = self.call("clone_program", id=made["id"], name="A clone", folderId=7, folderType="Folder")[0]
        self.assertEqual((cloned["channel"], cloned["costs"]), ("Newsletter", None))
        self.assertEqual(self.call("get_program_by_name", name="A clone")[0]["id"], cloned["id"])
        self.assertEqual(self.call("delete_program", id=cloned["id"]), [{"id": cloned["id"]}])
        self.refused("702", "get_program_by_id", id=cloned["id"])
        everything = self.call("browse_programs", maxReturn=2)
        self.assertIn(made["id"], [row["id"] for row in everything])
        one = list(self.call("get_programs_yield", maxReturn=2, filterType="id", filterValues=made["id"]))
        self.assertEqual([row["id"] for page in one for row in page], [made["id"]])

    def test_channels(self):
        channel = self.call("get_channel_by_name", name="Online Advertising")[0]
        steps = [(status["name"], status["step"]) for status in channel["progressionStatuses"]]
        self.assertEqual(steps[:2], [("Not in Program", 0), ("Invited", 10)])
        self.assertEqual(len(self.call("get_channels", maxReturn=1)), 2)

    def test_activities(self):
        ids = self.people(5)
        self.join(ids)
        self.join(ids, "Attended")
        arguments = {"activityTypeIds": ["104"], "sinceDatetime": LONG_AGO, "assetIds": self.program}
        rows = self.call("get_lead_activities", batchSize=4, **arguments)
        self.assertEqual([row["leadId"] for row in rows], ids * 2)
        values = {attribute["name"]: attribute["value"] for attribute in rows[-1]["attributes"]}
        self.assertEqual((values["Old Status"], values["New Status"], values["Success"]), ("Invited", "Attended", True))
        options(empty_pages=1)
        pages = list(self.call("get_lead_activities_yield", batchSize=4, **arguments))
        self.assertEqual([len(page) for page in pages], [4, 4, 2])
        of_one = self.call("get_lead_activities", leadIds=ids[0], **arguments)
        self.assertEqual({row["leadId"] for row in of_one}, {ids[0]})
        self.call("create_update_leads", leads=[{"id": ids[0], "firstName": "Grace"}], action="updateOnly", lookupField="id")
        changes = self.call("get_lead_changes", fields="firstName", sinceDatetime=LONG_AGO)
        last = changes[-1]
        self.assertEqual((last["leadId"], last["fields"][0]["newValue"]), (ids[0], "Grace"))
        types = {row["id"]: row for row in self.call("get_activity_types")}
        self.assertEqual(types[104]["primaryAttribute"], {"name": "Program ID", "dataType": "integer"})
        self.refused("1003", "get_lead_activities", **{**arguments, "activityTypeIds": [str(n) for n in range(1, 12)]})
        self.refused("1001", "get_paging_token", sinceDatetime="yesterday")

    def test_smart_campaigns(self):
        ids = self.people(2)
        requested = {"name": "requested", "program_id": self.program, "trigger": {"on": "requested"}}
        requested = control("POST", "/marketo/campaigns", requested)["id"]
        batch = control("POST", "/marketo/campaigns", {"name": "batch", "program_id": self.program})["id"]
        self.assertTrue(self.call("request_campaign", id=requested, leads=ids, tokens={"my.message": "x"}))
        self.assertEqual(control("GET", "/marketo/state")["requests"][-1]["lead_ids"], ids)
        self.refused("1003", "request_campaign", id=batch, leads=ids)
        self.refused("1003", "request_campaign", id=requested, leads=ids * 51)
        self.refused("1004", "request_campaign", id=requested, leads=[999999])
        self.refused("1013", "request_campaign", id=999999, leads=ids)
        self.assertTrue(self.call("schedule_campaign", id=batch, runAt="2100-01-01T00:00:00Z", tokens={"my.message": "x"}))
        self.assertTrue(self.call("schedule_campaign", id=batch))
        self.refused("1003", "schedule_campaign", id=requested)
        self.refused("1042", "schedule_campaign", id=batch, runAt="2015-01-01T00:00:00Z")
        self.call("deactivate_smart_campaign", id=requested)
        self.assertFalse(self.call("get_smart_campaign_by_id", id=requested)[0]["isActive"])
        self.refused("1003", "request_campaign", id=requested, leads=ids)
        self.call("activate_smart_campaign", id=requested)
        self.assertTrue(self.call("get_smart_campaign_by_name", name="requested")[0]["isRequestable"])
        listed = [row["id"] for page in self.call("get_smart_campaigns") for row in page]
        self.assertEqual(listed, [requested, batch])
        self.assertEqual(self.call("get_campaign_by_id", id=batch)[0]["programName"], self.name)
        self.assertEqual([row["name"] for row in self.call("get_multiple_campaigns", id=[requested, batch])], ["requested", "batch"])

    def test_bulk_extract_of_members(self):
        ids = self.people(3, firstName='Ada, "Countess"')
        self.join(ids)
        fields = ["leadId", "email", "firstName", "statusName", "title"]
        job = self.call("create_program_members_export_job", fields=fields, filters={"programId": self.program})[0]
        self.assertEqual((job["status"], job["format"]), ("Created", "CSV"))
        queued = self.call("enqueue_program_members_export_job", job_id=job["exportId"])[0]
        self.assertEqual(queued["status"], "Queued")
        self.refused("1029", "enqueue_program_members_export_job", job_id=job["exportId"])
        control("POST", "/clock", {"advance_seconds": 61})
        status = lambda: self.call("get_program_members_export_job_status", job_id=job["exportId"])[0]
        self.assertEqual(status()["status"], "Processing")
        control("POST", "/clock", {"advance_seconds": 61})
        done = status()
        self.assertEqual((done["status"], done["numberOfRecords"]), ("Completed", 3))
        file = self.call("get_program_members_export_job_file", job_id=job["exportId"])
        self.assertEqual(len(file), done["fileSize"])
        self.assertEqual("sha256:" + hashlib.sha256(file).hexdigest(), done["fileChecksum"])
        lines = file.decode().splitlines()
        self.assertEqual(lines[0], "Lead Id,email,firstName,Status,title")
        self.assertEqual(lines[1], f'{ids[0]},{self.name}0@people.example,"Ada, ""Countess""",Invited,null')
        other = self.call(
            "create_program_members_export_job", fields=["leadId"], filters={"programIds": [self.program]}, format="TSV",
            columnHeaderNames={"leadId": "Who"},
        )[0]
        self.assertEqual(self.call("cancel_program_members_export_job", job_id=other["exportId"])[0]["status"], "Cancelled")
        listed = {row["exportId"]: row["status"] for row in self.call("get_program_members_export_jobs_list")}
        self.assertEqual(listed, {job["exportId"]: "Completed", other["exportId"]: "Cancelled"})
        create = "create_program_members_export_job"
        self.refused("1003", create, fields=["leadId"], filters={})
        self.refused("1003", create, fields=["leadId"], filters={"programId": self.program, "statusNames": ["Nowhere"]})
        self.refused("1006", create, fields=["shoeSize"], filters={"programId": self.program})
        week = {"startAt": "2026-01-01T00:00:00Z", "endAt": "2026-01-08T00:00:00Z"}
        self.refused("1035", create, fields=["leadId"], filters={"programId": self.program, "updatedAt": week})
        self.refused("1013", "get_program_members_export_job_status", job_id="nothing")

    def test_usage(self):
        today = self.call("get_daily_usage")[0]
        self.assertGreater(today["total"], 0)
        self.assertGreater(sum(user["count"] for user in today["users"]), 0)
        self.assertEqual(self.call("get_last_7_days_usage")[0]["date"], today["date"])
        self.refused("610", "get_list_by_id", id=1)
        errors = self.call("get_daily_errors")[0]
        self.assertIn("610", [row["errorCode"] for row in errors["errors"]])
        self.assertGreaterEqual(self.call("get_last_7_days_errors")[0]["total"], errors["total"])

    def test_tokens_are_renewed(self):
        self.call("get_daily_usage")
        self.marketo.valid_until = 0
        self.call("get_daily_usage")
        self.marketo.token = "made-up"
        with self.assertRaisesRegex(Exception, "601"):
            self.marketo._api_call("get", self.marketo.host + "/rest/v1/stats/usage.json", {"access_token": "made-up"})
        control("POST", "/marketo/tokens/expire")
        with self.assertRaisesRegex(Exception, "602"):
            self.marketo._api_call("get", self.marketo.host + "/rest/v1/stats/usage.json", {"access_token": self.issued()})
        self.marketo.valid_until = None
        self.call("get_daily_usage")
        counters = control("GET", "/marketo/counters")
        self.assertEqual((counters["errors_by_code"], counters["token_in_wrong_place"]), ({"601": 1, "602": 1}, 0))

    def issued(self):
        """A token that was good."""
        fresh = client()
        fresh.authenticate()
        control("POST", "/marketo/tokens/expire")
        return fresh.token

    def test_limits(self):
        usage = "get_daily_usage"
        try:
            options(rate_limit=0)
            self.refused("606", usage)
            options(rate_limit=None, daily_quota=0)
            self.refused("607", usage)
            options(daily_quota=None, concurrency_limit=0)
            self.refused("615", usage)
        finally:
            options(rate_limit=100, daily_quota=50000, concurrency_limit=10)
        control("POST", "/clock", {"advance_seconds": 20})
        self.assertGreaterEqual(control("GET", "/marketo/counters")["over_limit_calls"], 3)
        once("usage.json", "604", "Request timed out")
        self.refused("604", usage)
        once("usage.json", "611", "System error")
        self.refused("611", usage)

    def test_a_role_that_may_not(self):
        service = {"client_id": "reader", "client_secret": "s", "user": "reader@acme.example", "permissions": ["Read-Only Lead"]}
        control("POST", "/marketo/services", service)
        reader = MarketoClient("123-ABC-456", "reader", "s", max_retry_time=0)
        reader.host = EMULATORS["marketo"]
        self.assertEqual(reader.execute(method="get_lead_by_id", id=1), [])
        with self.assertRaises(Exception) as caught:
            reader.execute(method="get_channels")
        self.assertEqual(caught.exception.args[0]["code"], "603")


if __name__ == "__main__":
    unittest.main()
