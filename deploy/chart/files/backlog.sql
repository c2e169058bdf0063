SELECT count(*) FROM executions WHERE executions.state = 0 AND NOT executions.limited AND run_at <= floor(extract(epoch FROM statement_timestamp()) * 1000)
