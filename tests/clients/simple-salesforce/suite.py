"""simple-salesforce against the emulated Salesforce. See tests/clients/README.md."""

import json
import os
import unittest
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit, urlunsplit

import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from requests.adapters import HTTPAdapter
from simple_salesforce import Salesforce, format_soql
from simple_salesforce.exceptions import (
    SalesforceAuthenticationFailed,
    SalesforceExpiredSession,
    SalesforceGeneralError,
    SalesforceMalformedRequest,
    SalesforceRefusedRequest,
    SalesforceResourceNotFound,
)

EMULATORS = json.loads(os.environ["EMULATORS"])


class Emulated(HTTPAdapter):
    """Sends what is meant for Salesforce, over TLS at any of its hosts, to the emulator: the client builds those addresses itself."""

    def send(self, request, **kwargs):
        here, there = urlsplit(EMULATORS["salesforce"]), urlsplit(request.url)
        request.url = urlunsplit(here[:2] + there[2:])
        return super().send(request, **kwargs)


def session():
    session = requests.Session()
    session.mount("https://", Emulated())
    return session


def control(method, path, body=None):
    """Acts as a person in the org, or as its administrator."""
    answer = requests.request(method, EMULATORS["control"] + path, json=body)
    answer.raise_for_status()
    return answer.json()


def misuse():
    return {name: n for name, n in control("GET", "/salesforce/counters")["misuse"].items() if n}


def client_credentials():
    return Salesforce(
        domain="acme.my",
        consumer_key=EMULATORS["salesforce_client_id"],
        consumer_secret=EMULATORS["salesforce_client_secret"],
        session=session(),
    )


def by_password(**changed):
    given = {
        "username": EMULATORS["salesforce_username"],
        "password": EMULATORS["salesforce_password"],
        "security_token": EMULATORS["salesforce_security_token"],
    }
    return Salesforce(**{**given, **changed}, session=session())


class Login(unittest.TestCase):
    def test_with_client_credentials(self):
        sf = client_credentials()
        self.assertEqual(sf.auth_type, "client-credentials")
        self.assertIs(sf.is_sandbox(), False)
        me = sf.oauth2("userinfo")
        self.assertEqual(me["organization_id"], EMULATORS["salesforce_org_id"])
        self.assertEqual(me["preferred_username"], EMULATORS["salesforce_username"])

    def test_with_a_password_and_security_token_by_soap(self):
        sf = by_password()
        self.assertEqual(sf.auth_type, "password")
        self.assertEqual(sf.query("SELECT COUNT() FROM Account")["totalSize"], 0)

    def test_with_a_password_of_a_connected_app(self):
        sf = Salesforce(
            username=EMULATORS["salesforce_username"],
            password=EMULATORS["salesforce_password"] + EMULATORS["salesforce_security_token"],
            consumer_key=EMULATORS["salesforce_client_id"],
            consumer_secret=EMULATORS["salesforce_client_secret"],
            session=session(),
        )
        self.assertIs(sf.is_sandbox(), False)

    def test_with_a_signed_assertion(self):
        def private(key):
            encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
            return key.private_bytes(encoding, form, serialization.NoEncryption()).decode()

        key, other = (rsa.generate_private_key(public_exponent=65537, key_size=2048) for _ in range(2))
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        control("PATCH", "/salesforce/options", {"jwt_public_key_pem": public.decode()})

        def login(key):
            return Salesforce(
                username=EMULATORS["salesforce_username"],
                consumer_key=EMULATORS["salesforce_client_id"],
                privatekey=private(key),
                session=session(),
            )

        self.assertIs(login(key).is_sandbox(), False)
        with self.assertRaises(SalesforceAuthenticationFailed) as refused:
            login(other)
        self.assertEqual(refused.exception.code, "invalid_grant")

    def test_refused(self):
        with self.assertRaises(SalesforceAuthenticationFailed) as refused:
            by_password(security_token="wrong")
        self.assertEqual(refused.exception.code, "INVALID_LOGIN")
        self.assertIn("Invalid username, password, security token", str(refused.exception))
        with self.assertRaises(SalesforceAuthenticationFailed) as refused:
            Salesforce(
                domain="acme.my",
                consumer_key=EMULATORS["salesforce_client_id"],
                consumer_secret="wrong",
                session=session(),
            )
        self.assertEqual(refused.exception.code, "invalid_client")

    def test_a_session_that_has_died_is_replaced_unless_it_was_given(self):
        sf = client_credentials()
        given = Salesforce(instance_url=EMULATORS["salesforce"], session_id=sf.session_id, session=session())
        self.assertIs(given.is_sandbox(), False)
        control("POST", "/salesforce/tokens/expire")
        self.assertIs(sf.is_sandbox(), False)
        with self.assertRaises(SalesforceExpiredSession) as refused:
            given.is_sandbox()
        self.assertEqual(refused.exception.content[0]["errorCode"], "INVALID_SESSION_ID")


class Records(unittest.TestCase):
    def setUp(self):
        self.sf = client_credentials()

    def refused(self, kind, code, call):
        with self.assertRaises(kind) as refused:
            call()
        self.assertEqual(refused.exception.content[0]["errorCode"], code)
        return refused.exception.content[0]

    def test_written_read_and_removed(self):
        lead = self.sf.Lead.create({"LastName": "Hopper", "Company": "Navy", "Email": "grace@navy.example"})
        self.assertEqual((lead["success"], lead["errors"]), (True, []))
        read = self.sf.Lead.get(lead["id"])
        self.assertEqual((read["attributes"]["type"], read["LastName"], read["Status"]), ("Lead", "Hopper", "Open - Not Contacted"))
        self.assertIsNone(read["Phone"])
        self.assertEqual(self.sf.Lead.update(lead["id"], {"Title": "Admiral"}), 204)
        self.assertEqual(self.sf.Lead.get(lead["id"])["Title"], "Admiral")
        self.assertEqual(self.sf.Lead.delete(lead["id"]), 204)
        self.refused(SalesforceResourceNotFound, "NOT_FOUND", lambda: self.sf.Lead.get(lead["id"]))
        self.refused(SalesforceResourceNotFound, "ENTITY_IS_DELETED", lambda: self.sf.Lead.delete(lead["id"]))

    def test_upserted_by_an_external_id(self):
        control("PATCH", "/salesforce/options", {"person_external_id_field": "Marketo_Id__c"})
        path, fields = "Marketo_Id__c/4711", {"LastName": "Ritchie", "Company": "Labs"}
        self.assertEqual(self.sf.Lead.upsert(path, fields), 201)
        self.assertEqual(self.sf.Lead.upsert(path, {"Title": "Dr."}), 200)
        self.assertEqual(self.sf.Lead.get_by_custom_id("Marketo_Id__c", "4711")["Title"], "Dr.")
        self.refused(
            SalesforceResourceNotFound, "NOT_FOUND", lambda: self.sf.Lead.upsert("Phone/1", fields)
        )
        self.assertEqual(self.sf.Lead.delete(path), 204)

    def test_refusals_have_the_codes_of_salesforce(self):
        lead, malformed = self.sf.Lead, SalesforceMalformedRequest
        missing = self.refused(malformed, "REQUIRED_FIELD_MISSING", lambda: lead.create({"LastName": "X"}))
        self.assertEqual(missing["fields"], ["Company"])
        self.refused(malformed, "INVALID_FIELD", lambda: lead.create({"Nope__c": 1}))
        self.refused(malformed, "INVALID_EMAIL_ADDRESS", lambda: lead.create({"LastName": "X", "Company": "Y", "Email": "bad"}))
        self.refused(malformed, "STRING_TOO_LONG", lambda: lead.create({"LastName": "X" * 81, "Company": "Y"}))
        self.refused(malformed, "MALFORMED_ID", lambda: lead.get("00Q000000000000XXX"))
        self.refused(malformed, "INVALID_FIELD", lambda: self.sf.query("SELECT Bacon__c FROM Lead"))
        self.refused(malformed, "MALFORMED_QUERY", lambda: self.sf.query("SELEKT Id FROM Lead"))
        self.refused(malformed, "INVALID_TYPE", lambda: self.sf.query("SELECT Id FROM Bacon"))
        self.refused(SalesforceResourceNotFound, "NOT_FOUND", lambda: self.sf.Bacon.create({}))
        twin = {"LastName": "Twin", "Company": "Y", "Email": "twin@y.example"}
        lead.create(twin)
        found = self.refused(malformed, "DUPLICATES_DETECTED", lambda: lead.create(twin))
        self.assertEqual(found["duplicateResut"]["matchResults"][0]["size"], 1)
        saved = lead.create(twin, headers={"Sforce-Duplicate-Rule-Header": "allowSave=true"})
        self.assertTrue(saved["success"])

    def test_a_member_has_a_status_of_its_campaign(self):
        campaign = self.sf.Campaign.create({"Name": "Webinar"})["id"]
        labels = self.sf.query(
            format_soql("SELECT Label, IsDefault FROM CampaignMemberStatus WHERE CampaignId = {} ORDER BY SortOrder", campaign)
        )
        self.assertEqual([s["Label"] for s in labels["records"]], ["Sent", "Responded"])
        lead = self.sf.Lead.create({"LastName": "O'Neil", "Company": "X", "Email": "oneil@x.example"})["id"]
        member = self.sf.CampaignMember.create({"CampaignId": campaign, "LeadId": lead, "Status": "Attended"})["id"]
        self.assertEqual(self.sf.CampaignMember.get(member)["Status"], "Sent")
        again = {"CampaignId": campaign, "LeadId": lead}
        self.refused(SalesforceMalformedRequest, "DUPLICATE_VALUE", lambda: self.sf.CampaignMember.create(again))
        self.refused(
            SalesforceMalformedRequest,
            "INVALID_FIELD_FOR_INSERT_UPDATE",
            lambda: self.sf.CampaignMember.update(member, {"LeadId": lead}),
        )
        named = self.sf.query(format_soql("SELECT Lead.Email, Contact.Email FROM CampaignMember WHERE Lead.LastName = {}", "O'Neil"))
        self.assertEqual((named["records"][0]["Lead"]["Email"], named["records"][0]["Contact"]), ("oneil@x.example", None))
        self.assertGreaterEqual(misuse()["coerced_statuses"], 1)

    def test_pages_are_followed_to_the_end(self):
        for start in (0, 200):
            records = [
                {"attributes": {"type": "Lead"}, "LastName": f"Page {n:03}", "Company": "Pages"} for n in range(start, start + 200)
            ]
            results = self.sf.restful("composite/sobjects", method="POST", json={"allOrNone": True, "records": records})
            self.assertEqual({result["success"] for result in results}, {True})
        soql, small = "SELECT Id, LastName FROM Lead WHERE Company = 'Pages' ORDER BY LastName", {"Sforce-Query-Options": "batchSize=200"}
        first = self.sf.query(soql, headers=small)
        self.assertEqual((first["totalSize"], first["done"], len(first["records"])), (400, False, 200))
        more = self.sf.query_more(first["nextRecordsUrl"], identifier_is_url=True)
        self.assertEqual((more["done"], more["records"][-1]["LastName"]), (True, "Page 399"))
        found = [record["LastName"] for record in self.sf.query_all_iter(soql, headers=small)]
        self.assertEqual(found, [f"Page {n:03}" for n in range(400)])
        ids = [record["Id"] for record in first["records"]]
        gone = self.sf.restful("composite/sobjects", {"ids": ",".join(ids), "allOrNone": "true"}, method="DELETE")
        self.assertEqual(len([result for result in gone if result["success"]]), 200)
        self.assertEqual(self.sf.query(soql)["totalSize"], 200)
        self.assertEqual(self.sf.query_all(soql, include_deleted=True)["totalSize"], 400)
        control("POST", "/salesforce/locators/expire")
        stale = lambda: self.sf.query_more(first["nextRecordsUrl"], identifier_is_url=True)
        self.refused(SalesforceMalformedRequest, "INVALID_QUERY_LOCATOR", stale)

    def test_collections_answer_for_each_record(self):
        sf = self.sf
        made = sf.restful(
            "composite/sobjects",
            method="POST",
            json={"records": [{"attributes": {"type": "Lead"}, "LastName": "A", "Company": "C"}, {"attributes": {"type": "Lead"}, "LastName": "B"}]},
        )
        self.assertEqual(made[1]["errors"][0]["statusCode"], "REQUIRED_FIELD_MISSING")
        self.assertNotIn("id", made[1])
        changed = sf.restful(
            "composite/sobjects",
            method="PATCH",
            json={"records": [{"attributes": {"type": "Lead"}, "id": made[0]["id"], "Title": "T"}]},
        )
        self.assertTrue(changed[0]["success"])
        read = sf.restful("composite/sobjects/Lead", method="POST", json={"ids": [made[0]["id"], "00Q4S0zzzzzzzzz"], "fields": ["Title"]})
        self.assertEqual((read[0]["Title"], read[1]), ("T", None))
        both = sf.restful(
            "composite/sobjects",
            method="POST",
            json={"allOrNone": True, "records": [{"attributes": {"type": "Lead"}, "LastName": "A", "Company": "C"}, {"attributes": {"type": "Lead"}}]},
        )
        self.assertEqual(both[0]["errors"][0]["statusCode"], "ALL_OR_NONE_OPERATION_ROLLED_BACK")

    def test_a_composite_call_uses_what_came_before(self):
        campaign = self.sf.Campaign.create({"Name": "Composite"})["id"]
        path = f"/services/data/v{self.sf.sf_version}/sobjects"
        answer = self.sf.restful(
            "composite",
            method="POST",
            json={
                "allOrNone": True,
                "compositeRequest": [
                    {"method": "POST", "url": f"{path}/Lead", "referenceId": "lead", "body": {"LastName": "C", "Company": "C"}},
                    {
                        "method": "POST",
                        "url": f"{path}/CampaignMember",
                        "referenceId": "member",
                        "body": {"CampaignId": campaign, "LeadId": "@{lead.id}"},
                    },
                    {"method": "GET", "url": f"{path}/CampaignMember/@{{member.id}}?fields=LeadId", "referenceId": "read"},
                ],
            },
        )["compositeResponse"]
        self.assertEqual([part["httpStatusCode"] for part in answer], [201, 201, 200])
        self.assertEqual(answer[2]["body"]["LeadId"], answer[0]["body"]["id"])

    def test_a_tree_is_made_as_a_whole(self):
        def record(name, company):
            return {"attributes": {"type": "Lead", "referenceId": name}, "LastName": name, "Company": company}

        made = self.sf.restful("composite/tree/Lead", method="POST", json={"records": [record("T1", "Tree"), record("T2", "Tree")]})
        self.assertEqual((made["hasErrors"], [result["referenceId"] for result in made["results"]]), (False, ["T1", "T2"]))
        with self.assertRaises(SalesforceMalformedRequest) as refused:
            self.sf.restful("composite/tree/Lead", method="POST", json={"records": [record("T3", "Tree"), record("T4", None)]})
        self.assertEqual(refused.exception.content["results"][0]["referenceId"], "T4")
        self.assertEqual(self.sf.query("SELECT COUNT() FROM Lead WHERE Company = 'Tree'")["totalSize"], 2)

    def test_what_changed_in_a_window(self):
        lead = self.sf.Lead.create({"LastName": "Window", "Company": "W"})["id"]
        gone = self.sf.Lead.create({"LastName": "Gone", "Company": "W"})["id"]
        self.sf.Lead.delete(gone)
        control("POST", "/clock", {"advance_seconds": 180})
        now = datetime.fromisoformat(control("GET", "/clock")["now"].replace("Z", "+00:00"))
        start, end = now - timedelta(minutes=30), now
        self.assertIn(lead, self.sf.Lead.updated(start, end)["ids"])
        deleted = self.sf.Lead.deleted(start, end)
        self.assertIn(gone, [record["id"] for record in deleted["deletedRecords"]])
        self.assertLess(datetime.strptime(deleted["latestDateCovered"], "%Y-%m-%dT%H:%M:%S.%f%z"), now + timedelta(seconds=1))
        self.refused(
            SalesforceMalformedRequest, "INVALID_REPLICATION_DATE", lambda: self.sf.Lead.updated(now - timedelta(days=60), end)
        )
        self.assertEqual(now.tzinfo, timezone.utc)


class Surroundings(unittest.TestCase):
    def setUp(self):
        self.sf = client_credentials()

    def test_versions_describes_and_limits(self):
        versions = self.sf.session.get(f"https://{self.sf.sf_instance}/services/data").json()
        self.assertIn(self.sf.sf_version, [version["version"] for version in versions])
        self.assertIn("CampaignMember", [o["name"] for o in self.sf.describe()["sobjects"]])
        fields = {field["name"]: field for field in self.sf.Campaign.describe()["fields"]}
        self.assertTrue(fields["ActualCost"]["updateable"])
        self.assertFalse(fields["NumberOfLeads"]["updateable"])
        self.assertEqual(self.sf.Lead.metadata()["objectDescribe"]["keyPrefix"], "00Q")
        used = self.sf.limits()["DailyApiRequests"]
        self.assertEqual(self.sf.api_usage["api-usage"].total, used["Max"])

    def test_the_allowance_of_the_day(self):
        control("PUT", "/salesforce/quota", {"left": 0})
        with self.assertRaises(SalesforceRefusedRequest) as refused:
            self.sf.limits()
        control("PUT", "/salesforce/quota", {"left": 50_000})
        self.assertEqual(refused.exception.content[0]["errorCode"], "REQUEST_LIMIT_EXCEEDED")

    def test_an_overloaded_org(self):
        busy = {"answer": {"status": 503, "content_type": "text/html", "body": "<html>maintenance</html>"}}
        control("POST", "/faults", {"vendor": "salesforce", "path_contains": "/limits", "action": busy})
        with self.assertRaises(SalesforceGeneralError):
            self.sf.limits()
        self.assertIn("DailyApiRequests", self.sf.limits())

    def test_a_campaign_without_the_marketing_user_licence(self):
        control("PATCH", "/salesforce/options", {"marketing_user": False})
        try:
            self.assertFalse(self.sf.Campaign.describe()["createable"])
            with self.assertRaises(SalesforceMalformedRequest) as refused:
                self.sf.Campaign.create({"Name": "x"})
        finally:
            control("PATCH", "/salesforce/options", {"marketing_user": True})
        self.assertEqual(refused.exception.content[0]["errorCode"], "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY")

    def test_a_validation_rule_and_a_locked_row(self):
        rule = {"object": "Lead", "field": "Company", "equals": "Nowhere", "message": "Say where"}
        control("PATCH", "/salesforce/options", {"validation_rules": [rule]})
        with self.assertRaises(SalesforceMalformedRequest) as refused:
            self.sf.Lead.create({"LastName": "X", "Company": "Nowhere"})
        error = refused.exception.content[0]
        self.assertEqual((error["errorCode"], error["message"]), ("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Say where"))
        lead = self.sf.Lead.create({"LastName": "X", "Company": "Locked"})["id"]
        control("POST", "/salesforce/locks", {"id": lead, "times": 1})
        with self.assertRaises(SalesforceMalformedRequest) as refused:
            self.sf.Lead.update(lead, {"Title": "T"})
        self.assertEqual(refused.exception.content[0]["errorCode"], "UNABLE_TO_LOCK_ROW")
        self.assertEqual(self.sf.Lead.update(lead, {"Title": "T"}), 204)


if __name__ == "__main__":
    unittest.main()
