CREATE TABLE webhooks (
	id             TEXT   NOT NULL PRIMARY KEY,
	sequence       BIGINT NOT NULL UNIQUE, -- that of documents
	url            TEXT   NOT NULL,
	events         TEXT   NOT NULL, -- types, as JSON
	department     TEXT   NOT NULL,
	secret         BYTEA  NOT NULL, -- sealed
	previous       BYTEA  NOT NULL, -- sealed; empty: none
	previous_until BIGINT NOT NULL,
	paused         BIGINT NOT NULL,
	disabled       TEXT   NOT NULL, -- why; empty: it is not
	failing_since  BIGINT NOT NULL DEFAULT 0,
	created_at     BIGINT NOT NULL,
	created_by     TEXT   NOT NULL,
	updated_at     BIGINT NOT NULL,
	attempts       BIGINT NOT NULL DEFAULT 0 -- numbers given to attempts
);

-- What at least one webhook was to be told.
CREATE TABLE events (
	sequence   BIGINT NOT NULL PRIMARY KEY, -- that of documents
	id         TEXT   NOT NULL UNIQUE,
	type       TEXT   NOT NULL,
	department TEXT   NOT NULL,
	alert      TEXT   NOT NULL,
	document   TEXT   NOT NULL,
	at         BIGINT NOT NULL
);
CREATE INDEX events_by_time ON events (at);

-- The pending deliveries of an alert to a webhook stand in line, in the order of the
-- events, and only the first is ready. What is about no alert does not stand in line.
CREATE TABLE deliveries (
	webhook TEXT   NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
	event   BIGINT NOT NULL REFERENCES events (sequence),
	alert   TEXT   NOT NULL, -- the event's
	state   TEXT   NOT NULL,
	ready   BIGINT NOT NULL, -- 1: pending, and first in its line
	tries   BIGINT NOT NULL,
	since   BIGINT NOT NULL, -- due first
	due_at  BIGINT NOT NULL,
	done_at BIGINT NOT NULL,
	PRIMARY KEY (webhook, event)
);
CREATE INDEX deliveries_due ON deliveries (webhook, due_at, event) WHERE ready = 1;
CREATE UNIQUE INDEX deliveries_first ON deliveries (webhook, alert) WHERE ready = 1 AND alert <> '';
-- Holds all that the backlog is counted by, so that it reads no rows.
CREATE INDEX deliveries_in_line ON deliveries (webhook, alert, event, since) WHERE state = 'pending';
CREATE INDEX deliveries_done ON deliveries (done_at) WHERE done_at > 0;
CREATE INDEX deliveries_by_event ON deliveries (event);

CREATE TABLE attempts (
	webhook  TEXT   NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
	sequence BIGINT NOT NULL, -- ascending within the webhook, from 1, without gaps
	event    TEXT   NOT NULL,
	number   BIGINT NOT NULL,
	at       BIGINT NOT NULL,
	took     BIGINT NOT NULL, -- microseconds
	status   BIGINT NOT NULL,
	error    TEXT   NOT NULL,
	PRIMARY KEY (webhook, sequence)
);
