-- What a dashboard counts again and again: these hold all of it, so that no rows are read.
CREATE INDEX documents_by_time ON documents (created_at, department);
CREATE INDEX alerts_by_state ON alerts (state, department, created_at);
CREATE INDEX alert_changes_by_time ON alert_changes (at, alert);
