DROP TABLE buffkit_log_pending, buffkit_log_keys, buffkit_log_topics, buffkit_log_events, buffkit_log;
DROP FUNCTION buffkit_log_append, buffkit_log_append_once, buffkit_log_last, buffkit_log_commit, buffkit_log_bound, buffkit_log_trim, buffkit_log_epoch, buffkit_log_clock;
