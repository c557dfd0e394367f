-- How the fingerprints of this deployment are made: checked when the registry opens.
CREATE TABLE meta (
	name  TEXT NOT NULL PRIMARY KEY,
	value TEXT NOT NULL
);

-- Numbers that are given out once: 'ordinal' is the last reserved ordinal,
-- 'sequence' the last place in the order of documents, sources and jobs.
CREATE TABLE counters (
	name  TEXT   NOT NULL PRIMARY KEY,
	value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('ordinal', 0), ('sequence', 0);

CREATE TABLE documents (
	id             TEXT   NOT NULL PRIMARY KEY,
	sequence       BIGINT NOT NULL UNIQUE,
	title          TEXT   NOT NULL,
	department     TEXT   NOT NULL,
	classification TEXT   NOT NULL,
	collection     TEXT   NOT NULL,
	version        BIGINT NOT NULL,
	published_at   BIGINT NOT NULL,
	created_at     BIGINT NOT NULL,
	updated_at     BIGINT NOT NULL
);
CREATE INDEX documents_by_department ON documents (department, sequence);

CREATE TABLE versions (
	ordinal    BIGINT NOT NULL PRIMARY KEY,
	document   TEXT   NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
	number     BIGINT NOT NULL,
	content    BYTEA  NOT NULL,
	size       BIGINT NOT NULL,
	media_type TEXT   NOT NULL,
	density    BIGINT NOT NULL,
	status     TEXT   NOT NULL,
	reason     TEXT   NOT NULL,
	text_bytes BIGINT NOT NULL,
	created_at BIGINT NOT NULL,
	page_count BIGINT NOT NULL,
	pages      TEXT   NOT NULL,
	UNIQUE (document, number)
);
CREATE INDEX versions_by_content ON versions (content, ordinal);
-- Holds all that is summed up for statistics, so that they read no rows.
CREATE INDEX versions_by_size ON versions (page_count, text_bytes);

-- Apart from versions, whose rows look-ups read and which stay short that way.
CREATE TABLE places (
	ordinal BIGINT NOT NULL PRIMARY KEY REFERENCES versions (ordinal) ON DELETE CASCADE,
	sealed  BYTEA  NOT NULL
);

-- The key begins with the source, so that it also serves the search for a source
-- in all departments.
CREATE TABLE sources (
	source     TEXT   NOT NULL,
	department TEXT   NOT NULL,
	collection TEXT   NOT NULL,
	sequence   BIGINT NOT NULL,
	document   TEXT   NOT NULL,
	version    BIGINT NOT NULL,
	revision   BYTEA  NOT NULL,
	seen_at    BIGINT NOT NULL,
	PRIMARY KEY (source, department, collection),
	FOREIGN KEY (document, version) REFERENCES versions (document, number) ON DELETE CASCADE
);
CREATE INDEX sources_by_version ON sources (document, version, sequence);

CREATE TABLE jobs (
	id             TEXT   NOT NULL PRIMARY KEY,
	sequence       BIGINT NOT NULL UNIQUE,
	source         TEXT   NOT NULL,
	prefix         TEXT   NOT NULL,
	department     TEXT   NOT NULL,
	classification TEXT   NOT NULL,
	collection     TEXT   NOT NULL,
	state          TEXT   NOT NULL,
	error          TEXT   NOT NULL,
	checkpoint     TEXT   NOT NULL,
	outcomes       TEXT   NOT NULL,
	listed         BIGINT NOT NULL,
	bytes          BIGINT NOT NULL,
	created_at     BIGINT NOT NULL,
	updated_at     BIGINT NOT NULL,
	ended_at       BIGINT NOT NULL,
	items          BIGINT NOT NULL DEFAULT 0, -- numbers given to items
	retired        BIGINT NOT NULL DEFAULT 0  -- 1: a newer job began, the items are gone
);
CREATE INDEX jobs_by_source ON jobs (source, prefix);

CREATE TABLE items (
	job        TEXT   NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
	sequence   BIGINT NOT NULL,
	source     TEXT   NOT NULL,
	document   TEXT   NOT NULL,
	outcome    TEXT   NOT NULL,
	status     TEXT   NOT NULL,
	reason     TEXT   NOT NULL,
	pages      BIGINT NOT NULL,
	characters BIGINT NOT NULL,
	PRIMARY KEY (job, sequence)
);

CREATE TABLE api_keys (
	id          TEXT   NOT NULL PRIMARY KEY,
	secret_hash BYTEA  NOT NULL,
	role        TEXT   NOT NULL,
	department  TEXT   NOT NULL,
	created_at  BIGINT NOT NULL,
	revoked_at  BIGINT NOT NULL
);
