ALTER TABLE documents ADD COLUMN recipient TEXT NOT NULL DEFAULT ''; -- of alerts, if it is not the department
ALTER TABLE documents ADD COLUMN withdrawn_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE documents ADD COLUMN withdrawn_by TEXT NOT NULL DEFAULT '';
ALTER TABLE documents ADD COLUMN withdrawn_reason TEXT NOT NULL DEFAULT '';
CREATE INDEX documents_withdrawn ON documents (withdrawn_at) WHERE withdrawn_at > 0;

ALTER TABLE api_keys ADD COLUMN sequence BIGINT NOT NULL DEFAULT 0; -- in the order of the list
ALTER TABLE api_keys ADD COLUMN label TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
ALTER TABLE api_keys ADD COLUMN expires_at BIGINT NOT NULL DEFAULT 0;

CREATE TABLE releases (
	id          TEXT   NOT NULL PRIMARY KEY,
	sequence    BIGINT NOT NULL UNIQUE,
	document    TEXT   NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
	kind        TEXT   NOT NULL,
	since       BIGINT NOT NULL,
	until       BIGINT NOT NULL,
	pages       TEXT   NOT NULL, -- JSON
	passages    TEXT   NOT NULL, -- JSON
	authority   TEXT   NOT NULL,
	instrument  TEXT   NOT NULL,
	alert       TEXT   NOT NULL,
	created_by  TEXT   NOT NULL,
	created_at  BIGINT NOT NULL,
	revoked_at  BIGINT NOT NULL,
	revoked_by  TEXT   NOT NULL
);
CREATE INDEX releases_by_document ON releases (document, sequence);

-- What came in: nothing of what it says.
CREATE TABLE posts (
	id       TEXT   NOT NULL PRIMARY KEY,
	sequence BIGINT NOT NULL UNIQUE,
	content  BYTEA  NOT NULL,
	thread   TEXT   NOT NULL,
	verdict  TEXT   NOT NULL,
	alerts   TEXT   NOT NULL, -- JSON
	seen_at  BIGINT NOT NULL,
	taken_at BIGINT NOT NULL
);
CREATE INDEX posts_by_time ON posts (taken_at);

-- Apart from posts: these are forgotten sooner.
CREATE TABLE post_fingerprints (
	sequence BIGINT NOT NULL PRIMARY KEY REFERENCES posts (sequence) ON DELETE CASCADE,
	taken_at BIGINT NOT NULL,
	sealed   BYTEA  NOT NULL
);
CREATE INDEX post_fingerprints_by_time ON post_fingerprints (taken_at);

-- An alert outlives the document that it is about.
CREATE TABLE alerts (
	id            TEXT   NOT NULL PRIMARY KEY,
	sequence      BIGINT NOT NULL UNIQUE,
	department    TEXT   NOT NULL,
	document      TEXT   NOT NULL,
	version       BIGINT NOT NULL,
	state         TEXT   NOT NULL,
	channel       TEXT   NOT NULL,
	score         DOUBLE PRECISION NOT NULL,
	expected      DOUBLE PRECISION NOT NULL,
	characters    BIGINT NOT NULL,
	regions       TEXT   NOT NULL, -- JSON
	flood         BIGINT NOT NULL,
	late          BIGINT NOT NULL,
	posts         BIGINT NOT NULL,
	first_seen_at BIGINT NOT NULL,
	last_seen_at  BIGINT NOT NULL,
	created_at    BIGINT NOT NULL,
	updated_at    BIGINT NOT NULL
);
CREATE INDEX alerts_by_document ON alerts (document, sequence);
CREATE INDEX alerts_by_department ON alerts (department, sequence);

CREATE TABLE alert_posts (
	alert    TEXT   NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
	number   BIGINT NOT NULL, -- how many posts the alert had with it
	post     TEXT   NOT NULL,
	thread   TEXT   NOT NULL,
	seen_at  BIGINT NOT NULL,
	score    DOUBLE PRECISION NOT NULL,
	passages TEXT   NOT NULL, -- JSON
	PRIMARY KEY (alert, number)
);

CREATE TABLE alert_changes (
	alert      TEXT   NOT NULL REFERENCES alerts (id) ON DELETE CASCADE,
	sequence   BIGINT NOT NULL,
	at         BIGINT NOT NULL,
	actor      TEXT   NOT NULL,
	from_state TEXT   NOT NULL,
	to_state   TEXT   NOT NULL,
	reason     TEXT   NOT NULL,
	release    TEXT   NOT NULL,
	PRIMARY KEY (alert, sequence)
);

-- Up to which ordinal posts were searched for documents that were registered after them.
INSERT INTO counters (name, value) VALUES ('looked back', 0);
