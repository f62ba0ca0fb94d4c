/** Tells campaign-sync of campaigns that are renamed, deleted and undeleted, or whose type or cost is changed. */
trigger CampaignSyncCampaign on Campaign (after update, after delete, after undelete) {
    CampaignSyncChanges.tell(
        'Campaign',
        Trigger.operationType,
        Trigger.isDelete ? Trigger.old : Trigger.new,
        Trigger.oldMap
    );
}
