/**
 * How does a query that was asked in GraphQL read in the engine's JSON protocol?
 *
 * Comes in: the tree of graphql.js and the facts of schema.js. Goes out: an `Operation`, its JSON as text, so that
 * numbers keep all their digits.
 *
 * The protocols differ in one thing that no translation of syntax brings along. A string that is given to a field of
 * type Json is JSON text in GraphQL; in the JSON protocol it would be a JSON string, unless it is tagged. So the
 * translation has to know at each place whether it stands for a value of a Json field, and walks along the data model:
 *
 *     arguments ──where──> filter ──a Json field──> jsonFilter
 *               ──data───> data   ──a Json field──> jsonData
 *                                 ──a relation────> nestedWrite ──> arguments, filter, data of the other model
 */

/** @typedef {import('./graphql.js').Field} Field */
/** @typedef {import('./graphql.js').Value} Value */
/** @typedef {import('./schema.js').SchemaFacts} SchemaFacts */
/** @typedef {import('./schema.js').ModelFacts} ModelFacts */

/**
 * @typedef {object} Operation
 * @property {string} field the GraphQL field, under which the engine answers: `findManyUser`
 * @property {string} alias under which GraphQL wants the answer
 * @property {boolean} isRaw whether it holds SQL
 * @property {string} json in the JSON protocol
 */

const RAW_ACTIONS = new Set(['queryRaw', 'executeRaw']);
const MODEL_ACTIONS = [
  'findUnique',
  'findFirst',
  'findMany',
  'createOne',
  'createMany',
  'updateOne',
  'updateMany',
  'upsertOne',
  'deleteOne',
  'deleteMany',
  'aggregate',
  'groupBy',
];
const OR_THROW = 'OrThrow';

const FILTER_ARGUMENTS = new Set(['where', 'cursor', 'having']);
const DATA_ARGUMENTS = new Set(['data', 'create', 'update']);
const GROUPINGS = new Set(['AND', 'OR', 'NOT', 'is', 'isNot', 'some', 'every', 'none']);
/** Operators of a Json field that take JSON; others, such as `path` and `string_contains`, take strings. */
const JSON_OPERATORS = new Set([
  'equals',
  'not',
  'lt',
  'lte',
  'gt',
  'gte',
  'array_contains',
  'array_starts_with',
  'array_ends_with',
  'has',
  'hasEvery',
  'hasSome',
]);
const LIST_WRITES = new Set(['set', 'push']);
/** Members of enums that may stand for a Json value; a JSON text never looks like them. */
const JSON_NULLS = new Set(['"DbNull"', '"JsonNull"', '"AnyNull"']);

/** A query for which the schema has no model or the engine no action. */
export class UnknownOperation extends Error {}

/**
 * @param {Field} field
 * @param {SchemaFacts} schema
 * @returns {Operation}
 * @throws {UnknownOperation} there is no such query
 */
export function translate(field, schema) {
  const isRaw = RAW_ACTIONS.has(field.name);
  const { action, modelName } = isRaw ? { action: field.name, modelName: null } : actionOf(field.name, schema);
  const model = modelName === null ? null : schema.models.get(modelName);
  const of = modelName === null ? '' : `"modelName":"${modelName}",`;
  const query = new Translation(schema).query(field, model);
  return { field: field.name, alias: field.alias, isRaw, json: `{${of}"action":"${action}","query":${query}}` };
}

function actionOf(fieldName, schema) {
  for (const action of MODEL_ACTIONS) {
    if (!fieldName.startsWith(action)) continue;
    const rest = fieldName.slice(action.length);
    if (schema.models.has(rest)) return { action, modelName: rest };
    const modelName = rest.endsWith(OR_THROW) ? rest.slice(0, -OR_THROW.length) : '';
    if (schema.models.has(modelName)) return { action: action + OR_THROW, modelName };
  }
  throw new UnknownOperation(`Operation '${fieldName}' does not match any query.`);
}

class Translation {
  #schema;

  constructor(schema) {
    this.#schema = schema;
  }

  /** @param {Field} field @param {ModelFacts | null} model */
  query(field, model) {
    const args = entries(field.args ?? [], (name, value) => this.#argument(name, value, model));
    return `{"arguments":${args},"selection":${this.#selection(field.selection ?? [], model)}}`;
  }

  #selection(fields, model) {
    const selected = fields.map((field) => {
      const isPlain = field.args === null && field.selection === null;
      return `"${field.name}":${isPlain ? 'true' : this.query(field, this.#related(field.name, model) ?? model)}`;
    });
    return `{${selected.join(',')}}`;
  }

  #argument(name, value, model) {
    if (model !== null && FILTER_ARGUMENTS.has(name)) return this.#filter(value, model);
    if (model !== null && DATA_ARGUMENTS.has(name)) return this.#data(value, model);
    return plain(value);
  }

  #arguments(value, model) {
    return each(value, (name, inner) => this.#argument(name, inner, model));
  }

  #filter(value, model) {
    return each(value, (name, inner) => {
      const fact = model.get(name);
      if (fact?.kind === 'json') return jsonFilter(inner);
      if (fact?.kind === 'relation') return this.#filter(inner, this.#schema.models.get(fact.model));
      return GROUPINGS.has(name) ? this.#filter(inner, model) : plain(inner);
    });
  }

  #data(value, model) {
    return each(value, (name, inner) => {
      const fact = model.get(name);
      if (fact?.kind === 'json') return jsonData(inner);
      if (fact?.kind === 'relation') return this.#nestedWrite(inner, this.#schema.models.get(fact.model));
      return plain(inner);
    });
  }

  #nestedWrite(value, model) {
    return each(value, (name, inner) => {
      switch (name) {
        case 'create':
          return this.#data(inner, model);
        case 'connectOrCreate':
        case 'createMany':
        case 'updateMany':
        case 'upsert':
          return this.#arguments(inner, model);
        case 'update':
          // What leads to one record may be updated without saying which: then this is the data itself.
          return namesWhichRecord(inner) ? this.#arguments(inner, model) : this.#data(inner, model);
        default: // connect, disconnect, set, delete, deleteMany
          return this.#filter(inner, model);
      }
    });
  }

  #related(name, model) {
    const fact = model?.get(name);
    return fact?.kind === 'relation' ? this.#schema.models.get(fact.model) : undefined;
  }
}

function namesWhichRecord(value) {
  if (value.kind === 'list') return true;
  return value.kind === 'object' && value.entries.every(([name]) => name === 'where' || name === 'data');
}

function jsonFilter(value) {
  if (value.kind === 'object')
    return each(value, (name, inner) => (JSON_OPERATORS.has(name) ? jsonFilter(inner) : plain(inner)));
  return jsonValue(value);
}

function jsonData(value) {
  if (value.kind === 'object')
    return each(value, (name, inner) => (LIST_WRITES.has(name) ? jsonValue(inner) : plain(inner)));
  return jsonValue(value);
}

function jsonValue(value) {
  if (value.kind === 'list') return `[${value.items.map(jsonValue).join(',')}]`;
  if (value.kind !== 'string') return plain(value);
  if (JSON_NULLS.has(value.text)) return `{"$type":"Enum","value":${value.text}}`;
  return `{"$type":"Json","value":${value.text}}`;
}

/** The JSON of an object, or of a list of objects, whose entries `write` writes; of anything else, as it stands. */
function each(value, write) {
  if (value.kind === 'list') return `[${value.items.map((item) => each(item, write)).join(',')}]`;
  return value.kind === 'object' ? entries(value.entries, write) : plain(value);
}

function entries(pairs, write) {
  return `{${pairs.map(([name, value]) => `"${name}":${write(name, value)}`).join(',')}}`;
}

function plain(value) {
  switch (value.kind) {
    case 'list':
      return `[${value.items.map(plain).join(',')}]`;
    case 'object':
      return entries(value.entries, (_, inner) => plain(inner));
    case 'name':
      return `"${value.text}"`;
    default:
      return value.text;
  }
}
