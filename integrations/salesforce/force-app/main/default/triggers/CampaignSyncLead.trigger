/** Tells campaign-sync of leads that are converted, merged (MasterRecordId), deleted and undeleted; their members fire no trigger. */
trigger CampaignSyncLead on Lead (after update, after delete, after undelete) {
    CampaignSyncChanges.tell(
        'Lead',
        Trigger.operationType,
        Trigger.isDelete ? Trigger.old : Trigger.new,
        Trigger.oldMap
    );
}
