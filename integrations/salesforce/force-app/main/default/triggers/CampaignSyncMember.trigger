/** Tells campaign-sync of campaign members. */
trigger CampaignSyncMember on CampaignMember (after insert, after update, after delete, after undelete) {
    CampaignSyncChanges.tell(
        'CampaignMember',
        Trigger.operationType,
        Trigger.isDelete ? Trigger.old : Trigger.new,
        Trigger.oldMap
    );
}
