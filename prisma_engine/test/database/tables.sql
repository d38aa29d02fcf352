CREATE TYPE "Role" AS ENUM ('ADMIN', 'USER');
CREATE TABLE "User" (
    id text PRIMARY KEY,
    email text NOT NULL UNIQUE,
    name text,
    role "Role" NOT NULL DEFAULT 'USER',
    visits bigint NOT NULL DEFAULT 0,
    score double precision NOT NULL DEFAULT 0,
    balance numeric(65, 30) NOT NULL DEFAULT 0,
    active boolean NOT NULL DEFAULT true,
    settings jsonb NOT NULL DEFAULT '{}',
    notes jsonb,
    extras jsonb[],
    tags text[],
    numbers integer[],
    avatar bytea,
    created_at timestamp(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    seen_at timestamptz(6),
    seen_often timestamptz(3)[],
    birthday date
);
CREATE TABLE "Post" (
    id serial PRIMARY KEY,
    title text NOT NULL,
    views integer NOT NULL DEFAULT 0,
    data jsonb NOT NULL DEFAULT '{}',
    author_id text NOT NULL REFERENCES "User" ON DELETE CASCADE,
    UNIQUE (author_id, title)
);
CREATE TABLE "Profile" (
    id serial PRIMARY KEY,
    bio jsonb NOT NULL,
    user_id text NOT NULL UNIQUE REFERENCES "User" ON DELETE CASCADE
);
