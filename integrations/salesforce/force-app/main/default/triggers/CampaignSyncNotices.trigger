/** Takes up deliveries of transactions that could add no job of their own, such as those of batch jobs. */
trigger CampaignSyncNotices on Campaign_Sync_Notice__e (after insert) {
    // An event holds up to 128 kB, and a job has 12 MB; the rest comes again.
    Integer most = 20;
    List<CampaignSyncNotice> notices = new List<CampaignSyncNotice>();
    for (Campaign_Sync_Notice__e event : Trigger.new) {
        if (notices.size() == most) {
            break;
        }
        notices.add(new CampaignSyncNotice(event.Delivery_Id__c, event.Body__c));
        EventBus.TriggerContext.currentContext().setResumeCheckpoint(event.ReplayId);
    }
    System.enqueueJob(new CampaignSyncCallout(notices));
}
