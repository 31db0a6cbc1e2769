package schema

// pgKind is a kind of object that one query reads.
type pgKind struct {
	name    string
	catalog string
	rank    int
	query   string // oid, name, statements; "{mine}" is a condition on {oid, catalog, namespace}
}

// The ranks: in this order objects come where dependencies leave a choice.
const (
	rankSchema = iota
	rankExtension
	rankCollation
	rankType
	rankFunction
	rankSequence
	rankTable
	rankView
	rankAttach
	rankDefault
	rankOwned
	rankConstraint
	rankIndex
	rankAttachIndex
	rankStatistics
	rankMaterialized
	rankMaterializedIndex
	rankRule
	rankTrigger
	rankForeignKey
	rankPolicy
	rankEventTrigger
)

// pgMine leaves out the system's schemas. x is the row, n its schema, k the number of its catalog. What belongs to an extension
// is made by it.
const pgMine = `n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
	AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = x.tableoid AND e.objid = x.oid AND e.deptype = 'e')`

// pgRelation is pgMine for pg_class, without the tables to be ignored.
const pgRelation = pgMine + ` AND NOT format('"%s"."%s"', replace(n.nspname, '"', '""'), replace(x.relname, '"', '""')) = ANY (string_to_array(current_setting('buffkit.ignore'), ','))`

// pgOfIgnored is a sequence x of a column of a table to be ignored.
const pgOfIgnored = `EXISTS (SELECT 1 FROM pg_depend io JOIN pg_class it ON it.oid = io.refobjid JOIN pg_namespace itn ON itn.oid = it.relnamespace
	WHERE io.classid = 'pg_class'::regclass AND io.objid = x.oid AND io.refclassid = 'pg_class'::regclass AND io.deptype = 'a'
	AND format('"%s"."%s"', replace(itn.nspname, '"', '""'), replace(it.relname, '"', '""')) = ANY (string_to_array(current_setting('buffkit.ignore'), ',')))`

var pgKinds = []pgKind{
	{"schema", "pg_namespace", rankSchema, `SELECT oid, quote_ident(nspname), 'CREATE SCHEMA ' || quote_ident(nspname) FROM pg_namespace x
		WHERE nspname !~ '^pg_' AND nspname NOT IN ('information_schema', 'public')
		AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = x.tableoid AND e.objid = x.oid AND e.deptype = 'e')`},
	{"schema", "pg_namespace", rankSchema, `SELECT oid, 'public', NULL FROM pg_namespace WHERE nspname = 'public'`},
	{"extension", "pg_extension", rankExtension, `SELECT x.oid, quote_ident(extname), format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA %I', extname, nspname)
		FROM pg_extension x JOIN pg_namespace n ON n.oid = extnamespace WHERE extname <> 'plpgsql'`},
	{"collation", "pg_collation", rankCollation, `SELECT x.oid, format('%I.%I', nspname, collname), format('CREATE COLLATION %I.%I (provider = %s, %s%s)', nspname, collname,
		CASE collprovider WHEN 'i' THEN 'icu' WHEN 'b' THEN 'builtin' ELSE 'libc' END,
		COALESCE('locale = ' || quote_literal(COALESCE(to_jsonb(x) ->> 'colliculocale', to_jsonb(x) ->> 'colllocale', CASE WHEN collcollate = collctype THEN collcollate END)),
			format('lc_collate = %L, lc_ctype = %L', collcollate, collctype)),
		CASE WHEN collisdeterministic THEN '' ELSE ', deterministic = false' END || COALESCE(', rules = ' || quote_literal(to_jsonb(x) ->> 'collicurules'), ''))
		FROM pg_collation x JOIN pg_namespace n ON n.oid = collnamespace WHERE {mine}`},
	{"enum", "pg_type", rankType, `SELECT x.oid, x.oid::regtype, format('CREATE TYPE %s AS ENUM (%s)', x.oid::regtype,
		COALESCE((SELECT E'\n' || string_agg('    ' || quote_literal(enumlabel), E',\n' ORDER BY enumsortorder) || E'\n' FROM pg_enum WHERE enumtypid = x.oid), ''))
		FROM pg_type x JOIN pg_namespace n ON n.oid = typnamespace WHERE typtype = 'e' AND {mine}`},
	{"domain", "pg_type", rankType, `SELECT x.oid, x.oid::regtype, format('CREATE DOMAIN %s AS %s', x.oid::regtype, format_type(typbasetype, typtypmod))
		|| COALESCE((SELECT format(' COLLATE %I.%I', cn.nspname, collname) FROM pg_collation c JOIN pg_namespace cn ON cn.oid = collnamespace, pg_type b
			WHERE c.oid = x.typcollation AND b.oid = x.typbasetype AND b.typcollation <> x.typcollation), '')
		|| CASE WHEN typnotnull THEN ' NOT NULL' ELSE '' END || COALESCE(' DEFAULT ' || COALESCE(pg_get_expr(typdefaultbin, 0), quote_literal(typdefault)), '')
		|| COALESCE((SELECT string_agg(format(E'\n    CONSTRAINT %I %s', conname, pg_get_constraintdef(c.oid)), '' ORDER BY conname)
			FROM pg_constraint c WHERE contypid = x.oid AND contype = 'c' AND convalidated), ''),
		(SELECT string_agg(format(E'ALTER DOMAIN %s ADD CONSTRAINT %I %s', x.oid::regtype, conname, pg_get_constraintdef(c.oid)), E';\n' ORDER BY conname)
			FROM pg_constraint c WHERE contypid = x.oid AND contype = 'c' AND NOT convalidated)
		FROM pg_type x JOIN pg_namespace n ON n.oid = typnamespace WHERE typtype = 'd' AND {mine}`},
	{"type", "pg_type", rankType, `SELECT x.oid, x.oid::regtype, format('CREATE TYPE %s AS (%s)', x.oid::regtype,
		COALESCE((SELECT E'\n' || string_agg(format('    %I %s', attname, format_type(atttypid, atttypmod)) || CASE WHEN a.attcollation <> t.typcollation THEN
				(SELECT format(' COLLATE %I.%I', cn.nspname, collname) FROM pg_collation c JOIN pg_namespace cn ON cn.oid = collnamespace WHERE c.oid = a.attcollation) ELSE '' END,
			E',\n' ORDER BY attnum) || E'\n' FROM pg_attribute a JOIN pg_type t ON t.oid = atttypid WHERE attrelid = x.typrelid AND attnum > 0 AND NOT attisdropped), ''))
		FROM pg_type x JOIN pg_namespace n ON n.oid = typnamespace JOIN pg_class r ON r.oid = typrelid AND r.relkind = 'c' WHERE typtype = 'c' AND {mine}`},
	{"range", "pg_type", rankType, `SELECT x.oid, x.oid::regtype, format('CREATE TYPE %s AS RANGE (subtype = %s, multirange_type_name = %s, subtype_opclass = %I.%I', x.oid::regtype,
			format_type(rngsubtype, NULL), rngmultitypid::regtype, on_.nspname, opcname)
		|| COALESCE((SELECT format(', collation = %I.%I', cn.nspname, collname) FROM pg_collation c JOIN pg_namespace cn ON cn.oid = collnamespace, pg_type b
			WHERE c.oid = rngcollation AND b.oid = rngsubtype AND b.typcollation <> rngcollation), '')
		|| CASE WHEN rngcanonical = 0 THEN '' ELSE ', canonical = ' || rngcanonical END || CASE WHEN rngsubdiff = 0 THEN '' ELSE ', subtype_diff = ' || rngsubdiff END || ')'
		FROM pg_type x JOIN pg_namespace n ON n.oid = typnamespace JOIN pg_range ON rngtypid = x.oid JOIN pg_opclass o ON o.oid = rngsubopc JOIN pg_namespace on_ ON on_.oid = opcnamespace
		WHERE typtype = 'r' AND {mine}`},
	{"function", "pg_proc", rankFunction, `SELECT x.oid, format('%I.%I(%s)', nspname, proname, pg_get_function_identity_arguments(x.oid)), rtrim(pg_get_functiondef(x.oid), E'\n')
		FROM pg_proc x JOIN pg_namespace n ON n.oid = pronamespace WHERE prokind IN ('f', 'w') AND {mine} AND NOT EXISTS (SELECT 1 FROM pg_depend i WHERE i.classid = x.tableoid AND i.objid = x.oid AND i.deptype = 'i')`},
	{"procedure", "pg_proc", rankFunction, `SELECT x.oid, format('%I.%I(%s)', nspname, proname, pg_get_function_identity_arguments(x.oid)), rtrim(pg_get_functiondef(x.oid), E'\n')
		FROM pg_proc x JOIN pg_namespace n ON n.oid = pronamespace WHERE prokind = 'p' AND {mine}`},
	{"aggregate", "pg_proc", rankFunction, `SELECT x.oid, format('%I.%I(%s)', nspname, proname, pg_get_function_identity_arguments(x.oid)),
		format('CREATE AGGREGATE %I.%I(%s) (', nspname, proname, COALESCE(NULLIF(pg_get_function_arguments(x.oid), ''), '*'))
		|| format(E'\n    SFUNC = %s,\n    STYPE = %s', aggtransfn, format_type(aggtranstype, NULL)) || CASE WHEN aggtransspace = 0 THEN '' ELSE E',\n    SSPACE = ' || aggtransspace END
		|| CASE WHEN aggfinalfn = 0 THEN '' ELSE E',\n    FINALFUNC = ' || aggfinalfn END || CASE WHEN aggfinalextra THEN E',\n    FINALFUNC_EXTRA' ELSE '' END
		|| CASE WHEN aggcombinefn = 0 THEN '' ELSE E',\n    COMBINEFUNC = ' || aggcombinefn END || COALESCE(E',\n    INITCOND = ' || quote_literal(agginitval), '')
		|| CASE proparallel WHEN 's' THEN E',\n    PARALLEL = safe' WHEN 'r' THEN E',\n    PARALLEL = restricted' ELSE '' END || E'\n)'
		FROM pg_proc x JOIN pg_namespace n ON n.oid = pronamespace JOIN pg_aggregate a ON a.aggfnoid = x.oid WHERE {mine} AND ` + pgPlainAggregate},
	{"sequence", "pg_class", rankSequence, `SELECT x.oid, x.oid::regclass, format('CREATE %sSEQUENCE %s AS %s', CASE relpersistence WHEN 'u' THEN 'UNLOGGED ' ELSE '' END, x.oid::regclass, seqtypid::regtype) || ` + pgSequence + `
		FROM pg_class x JOIN pg_namespace n ON n.oid = relnamespace JOIN pg_sequence s ON s.seqrelid = x.oid
		WHERE relkind = 'S' AND {relation} AND NOT ` + pgOfIgnored + ` AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = x.oid AND d.deptype = 'i')`},
	{"owner of the sequence", "owned", rankOwned, `SELECT x.oid, x.oid::regclass, format('ALTER SEQUENCE %s OWNED BY %s.%I', x.oid::regclass, refobjid::regclass, attname)
		FROM pg_class x JOIN pg_namespace n ON n.oid = relnamespace JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = x.oid AND d.deptype = 'a' AND d.refobjsubid > 0
		JOIN pg_attribute a ON a.attrelid = refobjid AND a.attnum = refobjsubid WHERE relkind = 'S' AND {relation} AND NOT ` + pgOfIgnored},
	{"default", "pg_attrdef", rankDefault, `SELECT d.oid, format('%s.%I', x.oid::regclass, attname), format('ALTER %s %s ALTER COLUMN %I SET DEFAULT %s',
			CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE ONLY' END, x.oid::regclass, attname, pg_get_expr(adbin, adrelid))
		FROM pg_attrdef d JOIN pg_class x ON x.oid = adrelid JOIN pg_namespace n ON n.oid = relnamespace JOIN pg_attribute a ON a.attrelid = adrelid AND a.attnum = adnum
		WHERE relkind IN ('r', 'p', 'v') AND attgenerated = '' AND NOT ` + pgInlineDefault + ` AND {relation}`},
	{"no default", "nodefault", rankDefault, `SELECT x.oid || '.' || attnum, format('%s.%I', x.oid::regclass, attname), format('ALTER TABLE ONLY %s ALTER COLUMN %I DROP DEFAULT', x.oid::regclass, attname)
		FROM pg_class x JOIN pg_namespace n ON n.oid = relnamespace JOIN pg_attribute a ON a.attrelid = x.oid AND attnum > 0 AND NOT attisdropped
		WHERE relkind = 'r' AND NOT relispartition AND NOT attislocal AND NOT atthasdef AND {relation} AND EXISTS (SELECT 1 FROM pg_inherits JOIN pg_attribute p ON p.attrelid = inhparent
			WHERE inhrelid = x.oid AND p.attname = a.attname AND p.atthasdef AND NOT p.attisdropped)`},
	{"view", "pg_class", rankView, `SELECT x.oid, x.oid::regclass, format(E'CREATE VIEW %s%s%s AS\n%s', x.oid::regclass, ` + pgColumnNames + `, ` + pgOptions + `, rtrim(pg_get_viewdef(x.oid), ';'))
		FROM pg_class x JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'v' AND {relation}`},
	{"materialized view", "pg_class", rankMaterialized, `SELECT x.oid, x.oid::regclass, format(E'CREATE MATERIALIZED VIEW %s%s%s AS\n%s\n  WITH %s', x.oid::regclass, ` + pgAccess + `, ` + pgOptions + `, rtrim(pg_get_viewdef(x.oid), ';'),
			CASE WHEN relispopulated THEN 'DATA' ELSE 'NO DATA' END)
		FROM pg_class x JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'm' AND {relation}`},
	{"partition", "attach", rankAttach, `SELECT x.oid, x.oid::regclass, format('ALTER TABLE ONLY %s ATTACH PARTITION %s %s', inhparent::regclass, x.oid::regclass, pg_get_expr(relpartbound, x.oid))
		FROM pg_class x JOIN pg_namespace n ON n.oid = relnamespace JOIN pg_inherits ON inhrelid = x.oid WHERE relkind IN ('r', 'p') AND relispartition AND {relation}`},
	{"constraint", "pg_constraint", rankConstraint, `SELECT c.oid, format('%I on %s', conname, x.oid::regclass),
			format('ALTER TABLE %s%s ADD CONSTRAINT %I %s', CASE WHEN contype = 'c' THEN '' ELSE 'ONLY ' END, x.oid::regclass, conname, pg_get_constraintdef(c.oid)),
			CASE WHEN i.indisclustered THEN format('ALTER TABLE %s CLUSTER ON %I', x.oid::regclass, conname) END,
			CASE WHEN i.indisreplident THEN format('ALTER TABLE ONLY %s REPLICA IDENTITY USING INDEX %I', x.oid::regclass, conname) END
		FROM pg_constraint c JOIN pg_class x ON x.oid = conrelid JOIN pg_namespace n ON n.oid = relnamespace LEFT JOIN pg_index i ON i.indexrelid = conindid AND contype IN ('p', 'u', 'x')
		WHERE contype IN ('c', 'p', 'u', 'x') AND (contype <> 'c' OR conislocal OR relispartition) AND NOT ` + pgInlineConstraint + ` AND {relation}`},
	{"foreign key", "pg_constraint", rankForeignKey, `SELECT c.oid, format('%I on %s', conname, x.oid::regclass),
			format('ALTER TABLE %s%s ADD CONSTRAINT %I %s', CASE relkind WHEN 'p' THEN '' ELSE 'ONLY ' END, x.oid::regclass, conname, pg_get_constraintdef(c.oid))
		FROM pg_constraint c JOIN pg_class x ON x.oid = conrelid JOIN pg_namespace n ON n.oid = relnamespace WHERE contype = 'f' AND conparentid = 0 AND {relation}`},
	{"index", "pg_class", rankIndex, `SELECT i.indexrelid, i.indexrelid::regclass, pg_get_indexdef(i.indexrelid),
			CASE WHEN i.indisclustered THEN format('ALTER TABLE %s CLUSTER ON %I', x.oid::regclass, ic.relname) END,
			CASE WHEN i.indisreplident THEN format('ALTER TABLE ONLY %s REPLICA IDENTITY USING INDEX %I', x.oid::regclass, ic.relname) END,
			(SELECT string_agg(format('ALTER INDEX %s ALTER COLUMN %s SET STATISTICS %s', i.indexrelid::regclass, attnum, attstattarget), E';\n' ORDER BY attnum)
				FROM pg_attribute WHERE attrelid = i.indexrelid AND attstattarget >= 0)
		FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_class x ON x.oid = i.indrelid JOIN pg_namespace n ON n.oid = x.relnamespace
		WHERE x.relkind IN ('r', 'p', 'm') AND NOT EXISTS (SELECT 1 FROM pg_constraint c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x')) AND {relation}`},
	{"index partition", "attachindex", rankAttachIndex, `SELECT i.indexrelid, i.indexrelid::regclass, format('ALTER INDEX %s ATTACH PARTITION %s', inhparent::regclass, i.indexrelid::regclass)
		FROM pg_index i JOIN pg_inherits ON inhrelid = i.indexrelid JOIN pg_class x ON x.oid = i.indrelid JOIN pg_namespace n ON n.oid = x.relnamespace WHERE {relation}`},
	{"statistics", "pg_statistic_ext", rankStatistics, `SELECT s.oid, format('%I.%I', sn.nspname, stxname), pg_get_statisticsobjdef(s.oid),
			CASE WHEN stxstattarget >= 0 THEN format('ALTER STATISTICS %I.%I SET STATISTICS %s', sn.nspname, stxname, stxstattarget) END
		FROM pg_statistic_ext s JOIN pg_namespace sn ON sn.oid = stxnamespace JOIN pg_class x ON x.oid = stxrelid JOIN pg_namespace n ON n.oid = x.relnamespace WHERE {relation}`},
	{"rule", "pg_rewrite", rankRule, `SELECT r.oid, format('%I on %s', rulename, x.oid::regclass), rtrim(pg_get_ruledef(r.oid), ';'),
			CASE ev_enabled WHEN 'O' THEN NULL ELSE format('ALTER TABLE %s %s RULE %I', x.oid::regclass, CASE ev_enabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE REPLICA' END, rulename) END
		FROM pg_rewrite r JOIN pg_class x ON x.oid = ev_class JOIN pg_namespace n ON n.oid = relnamespace WHERE rulename <> '_RETURN' AND {relation}`},
	{"trigger", "pg_trigger", rankTrigger, `SELECT t.oid, format('%I on %s', tgname, x.oid::regclass), pg_get_triggerdef(t.oid),
			CASE tgenabled WHEN 'O' THEN NULL ELSE format('ALTER TABLE %s %s TRIGGER %I', x.oid::regclass, CASE tgenabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE REPLICA' END, tgname) END
		FROM pg_trigger t JOIN pg_class x ON x.oid = tgrelid JOIN pg_namespace n ON n.oid = relnamespace WHERE NOT tgisinternal AND tgparentid = 0 AND {relation}`},
	{"trigger of a partition", "pg_trigger", rankTrigger, `SELECT t.oid, format('%I on %s', t.tgname, x.oid::regclass), format('ALTER TABLE %s %s TRIGGER %I', x.oid::regclass,
			CASE t.tgenabled WHEN 'O' THEN 'ENABLE' WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE REPLICA' END, t.tgname)
		FROM pg_trigger t JOIN pg_trigger p ON p.oid = t.tgparentid JOIN pg_class x ON x.oid = t.tgrelid JOIN pg_namespace n ON n.oid = relnamespace
		WHERE NOT t.tgisinternal AND t.tgenabled <> p.tgenabled AND {relation}`},
	{"policy", "pg_policy", rankPolicy, `SELECT p.oid, format('%I on %s', polname, x.oid::regclass), format('CREATE POLICY %I ON %s%s%s%s%s%s', polname, x.oid::regclass, CASE WHEN polpermissive THEN '' ELSE ' AS RESTRICTIVE' END,
			CASE polcmd WHEN 'r' THEN ' FOR SELECT' WHEN 'a' THEN ' FOR INSERT' WHEN 'w' THEN ' FOR UPDATE' WHEN 'd' THEN ' FOR DELETE' ELSE '' END,
			CASE WHEN polroles = '{0}' THEN '' ELSE ' TO ' || (SELECT string_agg(CASE role WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(role)) END, ', ' ORDER BY pg_get_userbyid(role)) FROM unnest(polroles) role) END,
			COALESCE(' USING (' || pg_get_expr(polqual, polrelid) || ')', ''), COALESCE(' WITH CHECK (' || pg_get_expr(polwithcheck, polrelid) || ')', ''))
		FROM pg_policy p JOIN pg_class x ON x.oid = polrelid JOIN pg_namespace n ON n.oid = relnamespace WHERE {relation}`},
	{"event trigger", "pg_event_trigger", rankEventTrigger, `SELECT x.oid, quote_ident(evtname), format(E'CREATE EVENT TRIGGER %I ON %I%s\n   EXECUTE FUNCTION %s()', evtname, evtevent,
			COALESCE((SELECT E'\n   WHEN TAG IN (' || string_agg(quote_literal(tag), ', ') || ')' FROM unnest(evttags) tag), ''), evtfoid::regproc),
			CASE evtenabled WHEN 'O' THEN NULL ELSE format('ALTER EVENT TRIGGER %I %s', evtname, CASE evtenabled WHEN 'D' THEN 'DISABLE' WHEN 'A' THEN 'ENABLE ALWAYS' ELSE 'ENABLE REPLICA' END) END
		FROM pg_event_trigger x WHERE NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = x.tableoid AND e.objid = x.oid AND e.deptype = 'e')`},
}

// Fragments of the queries.
const (
	pgPlainAggregate = `aggkind = 'n' AND aggmtransfn = 0 AND aggserialfn = 0 AND aggsortop = 0 AND aggfinalmodify = CASE WHEN aggfinalfn = 0 THEN aggfinalmodify ELSE 'r' END`

	// pgSequence is the options of a sequence s.
	pgSequence = `format(' START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s CACHE %s%s', seqstart, seqincrement, seqmin, seqmax, seqcache, CASE WHEN seqcycle THEN ' CYCLE' ELSE '' END)`

	// pgColumnNames are a view's, since the text of a query can't name all.
	pgColumnNames = `(SELECT ' (' || string_agg(quote_ident(attname), ', ' ORDER BY attnum) || ')' FROM pg_attribute WHERE attrelid = x.oid AND attnum > 0 AND NOT attisdropped)`

	pgOptions = `COALESCE((SELECT ' WITH (' || string_agg(quote_ident(option_name) || '=' || quote_literal(option_value), ', ' ORDER BY option_name) || ')' FROM pg_options_to_table(x.reloptions)), '')`

	pgAccess = `COALESCE((SELECT ' USING ' || quote_ident(amname) FROM pg_am WHERE pg_am.oid = x.relam AND amname <> 'heap'), '')`

	// pgInlineDefault is a default d that needs nothing but the system, of a column that its table declares.
	pgInlineDefault = `(relkind IN ('r', 'p') AND (attislocal OR relispartition) AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = 'pg_attrdef'::regclass AND e.objid = d.oid AND e.refobjid <> d.adrelid))`

	// pgInlineConstraint is a constraint c that stands in CREATE TABLE: on a table that has nothing to do with others, and which needs nothing but it.
	pgInlineConstraint = `(convalidated AND contype IN ('c', 'p', 'u') AND (contype = 'c' OR relkind = 'r' AND NOT relispartition)
		AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = 'pg_constraint'::regclass AND e.objid = c.oid AND e.deptype <> 'i' AND e.refobjid <> c.conrelid)
		AND NOT EXISTS (SELECT 1 FROM pg_index i WHERE i.indexrelid = c.conindid AND c.contype <> 'c' AND (i.indisclustered OR i.indisreplident)))`
)

// pgTables is the beginning and the end of CREATE TABLE, and what is altered behind it.
const pgTables = `SELECT x.oid, x.oid::regclass, CASE relpersistence WHEN 'u' THEN 'CREATE UNLOGGED TABLE' ELSE 'CREATE TABLE' END,
		CASE WHEN relispartition THEN '' ELSE COALESCE((SELECT ' INHERITS (' || string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno) || ')' FROM pg_inherits WHERE inhrelid = x.oid), '') END
		|| CASE relkind WHEN 'p' THEN ' PARTITION BY ' || pg_get_partkeydef(x.oid) ELSE '' END
		|| ` + pgAccess + `
		|| COALESCE((SELECT ' WITH (' || string_agg(o, ', ' ORDER BY o) || ')' FROM (
			SELECT quote_ident(option_name) || '=' || quote_literal(option_value) FROM pg_options_to_table(x.reloptions)
			UNION ALL SELECT 'toast.' || quote_ident(option_name) || '=' || quote_literal(option_value) FROM pg_class toast, pg_options_to_table(toast.reloptions) WHERE toast.oid = x.reltoastrelid) all_ (o)), ''),
		CASE WHEN relrowsecurity THEN format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', x.oid::regclass) END,
		CASE WHEN relforcerowsecurity THEN format('ALTER TABLE ONLY %s FORCE ROW LEVEL SECURITY', x.oid::regclass) END,
		CASE relreplident WHEN 'f' THEN format('ALTER TABLE ONLY %s REPLICA IDENTITY FULL', x.oid::regclass) WHEN 'n' THEN format('ALTER TABLE ONLY %s REPLICA IDENTITY NOTHING', x.oid::regclass) END
	FROM pg_class x JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind IN ('r', 'p') AND {relation}`

// pgColumns is a line of CREATE TABLE, "" for a column that only the parent declares, and what is altered behind it.
const pgColumns = `SELECT x.oid, CASE WHEN attislocal OR relispartition THEN format('%I %s', attname, format_type(atttypid, atttypmod))
		|| CASE WHEN a.attcollation <> t.typcollation THEN (SELECT format(' COLLATE %I.%I', cn.nspname, collname) FROM pg_collation co JOIN pg_namespace cn ON cn.oid = collnamespace WHERE co.oid = a.attcollation) ELSE '' END
		|| CASE WHEN attgenerated <> '' THEN ' GENERATED ALWAYS AS (' || pg_get_expr(adbin, adrelid) || ')' || CASE attgenerated WHEN 's' THEN ' STORED' ELSE ' VIRTUAL' END
			WHEN d.oid IS NOT NULL AND ` + pgInlineDefault + ` THEN ' DEFAULT ' || pg_get_expr(adbin, adrelid) ELSE '' END
		|| CASE WHEN attidentity <> '' THEN ' GENERATED ' || CASE attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END || ' AS IDENTITY (SEQUENCE NAME ' || s.seqrelid::regclass || ` + pgSequence + ` || ')' ELSE '' END
		|| CASE WHEN attnotnull THEN ' NOT NULL' ELSE '' END END,
	array_to_string(ARRAY[
		CASE WHEN attnotnull AND NOT attislocal AND NOT relispartition THEN format('ALTER TABLE ONLY %s ALTER COLUMN %I SET NOT NULL', x.oid::regclass, attname) END,
		CASE WHEN attstorage <> typstorage THEN format('ALTER TABLE ONLY %s ALTER COLUMN %I SET STORAGE %s', x.oid::regclass, attname,
			CASE attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END) END,
		CASE WHEN attcompression <> '' THEN format('ALTER TABLE ONLY %s ALTER COLUMN %I SET COMPRESSION %s', x.oid::regclass, attname, CASE attcompression WHEN 'p' THEN 'pglz' ELSE 'lz4' END) END,
		CASE WHEN attstattarget >= 0 THEN format('ALTER TABLE ONLY %s ALTER COLUMN %I SET STATISTICS %s', x.oid::regclass, attname, attstattarget) END,
		CASE WHEN attoptions IS NOT NULL THEN format('ALTER TABLE ONLY %s ALTER COLUMN %I SET (%s)', x.oid::regclass, attname,
			(SELECT string_agg(quote_ident(option_name) || '=' || quote_literal(option_value), ', ' ORDER BY option_name) FROM pg_options_to_table(attoptions))) END], chr(1))
	FROM pg_class x JOIN pg_namespace n ON n.oid = relnamespace JOIN pg_attribute a ON attrelid = x.oid AND attnum > 0 AND NOT attisdropped JOIN pg_type t ON t.oid = atttypid
	LEFT JOIN pg_attrdef d ON adrelid = x.oid AND adnum = attnum
	LEFT JOIN pg_depend sd ON attidentity <> '' AND sd.classid = 'pg_class'::regclass AND sd.refclassid = 'pg_class'::regclass AND sd.refobjid = x.oid AND sd.refobjsubid = attnum AND sd.deptype = 'i'
	LEFT JOIN pg_sequence s ON s.seqrelid = sd.objid
	WHERE relkind IN ('r', 'p') AND {relation} ORDER BY x.oid, attnum`

// pgInline are the constraints in CREATE TABLE.
const pgInline = `SELECT x.oid, format('CONSTRAINT %I %s', conname, pg_get_constraintdef(c.oid)), ''
	FROM pg_constraint c JOIN pg_class x ON x.oid = conrelid JOIN pg_namespace n ON n.oid = relnamespace
	WHERE relkind IN ('r', 'p') AND (contype <> 'c' OR conislocal OR relispartition) AND ` + pgInlineConstraint + ` AND {relation} ORDER BY x.oid, contype = 'c', contype, conname`

// pgAliases are a part and its whole.
const pgAliases = `SELECT 'pg_type', oid, 'pg_class', typrelid FROM pg_type WHERE typrelid <> 0
	UNION ALL SELECT 'pg_class', typrelid, 'pg_type', oid FROM pg_type WHERE typrelid <> 0
	UNION ALL SELECT 'pg_type', typarray, 'pg_type', oid FROM pg_type WHERE typarray <> 0
	UNION ALL SELECT 'pg_type', rngmultitypid, 'pg_type', rngtypid FROM pg_range
	UNION ALL SELECT 'pg_rewrite', oid, 'pg_class', ev_class FROM pg_rewrite WHERE rulename = '_RETURN'
	UNION ALL SELECT 'pg_attrdef', oid, 'pg_class', adrelid FROM pg_attrdef
	UNION ALL SELECT 'pg_constraint', oid, 'pg_class', conrelid FROM pg_constraint WHERE conrelid <> 0 AND contype <> 't'
	UNION ALL SELECT 'pg_constraint', tgconstraint, 'pg_trigger', oid FROM pg_trigger WHERE tgconstraint <> 0 AND NOT tgisinternal
	UNION ALL SELECT 'pg_constraint', oid, 'pg_type', contypid FROM pg_constraint WHERE contypid <> 0
	UNION ALL SELECT 'pg_class', conindid, 'pg_constraint', oid FROM pg_constraint WHERE contype IN ('p', 'u', 'x')
	UNION ALL SELECT 'pg_class', objid, 'pg_class', refobjid FROM pg_depend WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass AND deptype = 'i' AND refobjsubid > 0`

// pgMoreNeeds are the statements that aren't objects of the catalog, and on what they wait.
const pgMoreNeeds = `SELECT 'owned', objid, 'pg_class', objid FROM pg_depend WHERE classid = 'pg_class'::regclass AND deptype = 'a' AND refobjsubid > 0
	UNION ALL SELECT 'owned', objid, 'pg_class', refobjid FROM pg_depend WHERE classid = 'pg_class'::regclass AND deptype = 'a' AND refobjsubid > 0
	UNION ALL SELECT 'attach', inhrelid, 'pg_class', unnest(ARRAY[inhrelid, inhparent]) FROM pg_inherits
	UNION ALL SELECT 'attach', inhrelid, 'pg_constraint', oid FROM pg_inherits JOIN pg_constraint ON conrelid IN (inhrelid, inhparent) AND contype = 'c'
	UNION ALL SELECT 'attachindex', inhrelid, 'pg_class', unnest(ARRAY[inhrelid, inhparent]) FROM pg_inherits
	UNION ALL SELECT 'attachindex', h.inhrelid, 'attach', i.indrelid FROM pg_inherits h JOIN pg_index i ON i.indexrelid = h.inhrelid`

const pgComments = `SELECT classoid::regclass, objoid, type, identity, quote_literal(description) FROM pg_description, pg_identify_object(classoid, objoid, objsubid)
	WHERE NOT (classoid = 'pg_namespace'::regclass AND identity = 'public' AND description = 'standard public schema') AND identity IS NOT NULL
	AND (objoid >= 16384 OR classoid = 'pg_namespace'::regclass AND identity = 'public') ORDER BY objsubid, type, identity`

// pgCommentOn are the words of COMMENT ON where they aren't those of pg_identify_object.
var pgCommentOn = map[string]string{
	"table column":             "COLUMN",
	"view column":              "COLUMN",
	"materialized view column": "COLUMN",
	"composite type column":    "COLUMN",
	"composite type":           "TYPE",
	"table constraint":         "CONSTRAINT",
	"domain constraint":        "CONSTRAINT",
	"statistics object":        "STATISTICS",
}

// pgUnknown is what there is and isn't written. Objects of the system have lower numbers than 16384.
const pgUnknown = `WITH x (tableoid, oid) AS (
		SELECT tableoid, oid FROM pg_operator UNION ALL SELECT tableoid, oid FROM pg_opclass UNION ALL SELECT tableoid, oid FROM pg_opfamily UNION ALL SELECT tableoid, oid FROM pg_cast
		UNION ALL SELECT tableoid, oid FROM pg_conversion UNION ALL SELECT tableoid, oid FROM pg_ts_config UNION ALL SELECT tableoid, oid FROM pg_ts_dict UNION ALL SELECT tableoid, oid FROM pg_ts_parser
		UNION ALL SELECT tableoid, oid FROM pg_ts_template UNION ALL SELECT tableoid, oid FROM pg_foreign_data_wrapper UNION ALL SELECT tableoid, oid FROM pg_foreign_server
		UNION ALL SELECT tableoid, oid FROM pg_publication UNION ALL SELECT tableoid, oid FROM pg_language UNION ALL SELECT tableoid, oid FROM pg_transform UNION ALL SELECT tableoid, oid FROM pg_am
		UNION ALL SELECT tableoid, oid FROM pg_default_acl
		UNION ALL SELECT tableoid, oid FROM pg_class WHERE relkind = 'f'
		UNION ALL SELECT x.tableoid, x.oid FROM pg_proc x JOIN pg_aggregate ON aggfnoid = x.oid WHERE NOT (` + pgPlainAggregate + `)
		UNION ALL SELECT x.tableoid, x.oid FROM pg_type x WHERE typtype = 'b' AND typcategory <> 'A')
	SELECT type, identity FROM x, pg_identify_object(x.tableoid, x.oid, 0)
	WHERE x.oid >= 16384 AND COALESCE(schema, '') !~ '^pg_' AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = x.tableoid AND e.objid = x.oid AND e.deptype = 'e')
		AND NOT EXISTS (SELECT 1 FROM pg_depend e WHERE e.classid = x.tableoid AND e.objid = x.oid AND e.deptype = 'i')
	UNION ALL SELECT 'the tablespace of', x.oid::regclass::text FROM pg_class x JOIN pg_namespace n ON n.oid = relnamespace WHERE reltablespace <> 0 AND {relation}
	UNION ALL SELECT 'that it is a typed table:', x.oid::regclass::text FROM pg_class x JOIN pg_namespace n ON n.oid = relnamespace WHERE reloftype <> 0 AND {relation}
	UNION ALL SELECT 'that the index isn''t valid:', i.indexrelid::regclass::text FROM pg_index i JOIN pg_class x ON x.oid = indrelid JOIN pg_namespace n ON n.oid = relnamespace
		WHERE NOT indisvalid AND relkind <> 'p' AND {relation}
	UNION ALL SELECT 'the name of the constraint', format('%I on %s', conname, x.oid::regclass) FROM pg_constraint c JOIN pg_class x ON x.oid = conrelid JOIN pg_namespace n ON n.oid = relnamespace
		WHERE contype = 'n' AND NOT convalidated AND {relation}
	ORDER BY 1, 2`
