/** Tells campaign-sync of contacts that are merged (MasterRecordId), deleted and undeleted; their members fire no trigger. */
trigger CampaignSyncContact on Contact (after delete, after undelete) {
    CampaignSyncChanges.tell(
        'Contact',
        Trigger.operationType,
        Trigger.isDelete ? Trigger.old : Trigger.new,
        Trigger.oldMap
    );
}
