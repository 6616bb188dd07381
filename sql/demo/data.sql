-- Invented people, games and plans; the same every time but for the clock.
SELECT setseed(0.2026);

INSERT INTO "User" ("name", "email", "role", "createdAt", "lastSeenAt")
SELECT name, lower(name) || '@example.org', CASE WHEN n <= 3 THEN 'moderator' ELSE 'member' END,
       now() - random() * interval '700 days' - interval '1 day', now() - random() * interval '20 hours'
  FROM unnest(ARRAY[
    'Ada', 'Bruno', 'Chiara', 'Dilan', 'Edda', 'Farid', 'Greta', 'Hiro', 'Ines', 'Jonas', 'Kaya', 'Liam', 'Mira', 'Noor',
    'Oskar', 'Paula', 'Quentin', 'Rosa', 'Samir', 'Tilda', 'Umar', 'Vera', 'Wanda', 'Xenia', 'Yusuf', 'Zoe', 'Anton', 'Birte',
    'Cem', 'Dora', 'Emil', 'Frida', 'Goran', 'Hanna', 'Ivo', 'Juna', 'Kosta', 'Lale'
  ]) WITH ORDINALITY AS names (name, n);

INSERT INTO "UserProfile" ("userId", "bio", "timezone", "genres", "preferences")
SELECT "id",
       (ARRAY['Mostly harmless.', 'Always plays the healer.', 'Here for the puzzles.', 'Will trade ore for snacks.',
              'Late nights only.', 'Collects dice.', 'Slow but stubborn.', 'Builds, never fights.', ''])[1 + floor(random() * 9)::int],
       (ARRAY['Europe/Berlin', 'Europe/Rome', 'Europe/Istanbul', 'America/Toronto', 'Asia/Tokyo', 'UTC'])[1 + floor(random() * 6)::int],
       (ARRAY['{coop,puzzle}', '{strategy}', '{racing,retro}', '{coop,survival}', '{party}'])[1 + floor(random() * 5)::int]::text[],
       jsonb_build_object('theme', CASE WHEN random() < 0.7 THEN 'dark' ELSE 'light' END, 'mail', random() < 0.4,
                          'volume', floor(random() * 101)::int)
  FROM "User";

INSERT INTO "Game" ("title", "genre", "minPlayers", "maxPlayers", "rating")
SELECT title, genre, least_players, most_players, round((6 + random() * 3.9)::numeric, 1)
  FROM (VALUES
    ('Lanterns of Oru', 'adventure', 1, 4), ('Copper Harbour', 'strategy', 2, 6), ('Mossgate', 'coop', 2, 4),
    ('Tin Comet', 'racing', 1, 8), ('The Ninth Kettle', 'puzzle', 1, 2), ('Bramblewick Fair', 'party', 3, 10),
    ('Saltline', 'survival', 1, 5), ('Paper Golems', 'strategy', 2, 4), ('Underhill Express', 'coop', 2, 6),
    ('Glasswing', 'adventure', 1, 1), ('Orchard Wars', 'party', 4, 12), ('Quiet Engines', 'puzzle', 1, 3),
    ('Northern Cog', 'strategy', 2, 5), ('Driftlight', 'racing', 1, 16), ('Hollow Choir', 'survival', 1, 4),
    ('Marble Post', 'puzzle', 2, 4), ('Seven Ferries', 'coop', 3, 7), ('Rook & Thistle', 'strategy', 2, 2)
  ) AS games (title, genre, least_players, most_players);

INSERT INTO "GameRequest" ("userId", "title", "reason", "votes", "createdAt")
SELECT 1 + floor(random() * 38)::int, title, reason, 1 + floor(random() * 14)::int, now() - random() * interval '30 days'
  FROM (VALUES
    ('Ember Atlas', 'We need something long for the winter.'), ('Pocket Leviathan', 'Two of us own it already.'),
    ('Clockwork Picnic', 'Short rounds, good for lunch breaks.'), ('Fathom Five', 'The co-op mode got an update.'),
    ('Velvet Circuit', 'Friday races, anyone?'), ('Sundial Keep', 'Nobody ever plays builders here.'),
    ('The Long Ladder', 'It runs on my old laptop.'), ('Wolfram Bay', 'Looks like Saltline, but with boats.'),
    ('Moth & Meridian', 'For the puzzle people.'), ('Grand Tapir', 'My kids love it.'), ('Static Garden', 'Great soundtrack.'),
    ('Iron Bakery', 'I promise it is a real game.')
  ) AS requests (title, reason);

INSERT INTO "ScheduledSession" ("gameId", "hostId", "title", "startsAt", "status")
SELECT 1 + floor(random() * 18)::int, 1 + floor(random() * 38)::int,
       (ARRAY['Friday night run', 'Beginners welcome', 'Campaign, part 4', 'One quick round', 'Rematch!', 'Practice'])[1 + n % 6],
       date_trunc('hour', now()) + n * interval '3 hours', 'planned'
  FROM generate_series(1, 24) AS n;

INSERT INTO "SessionSeat" ("sessionId", "userId", "joinedAt")
SELECT s."id", u."id", now() - random() * interval '2 days'
  FROM "ScheduledSession" s CROSS JOIN LATERAL (SELECT "id" FROM "User" WHERE s."id" > 0 ORDER BY random() LIMIT 4) u
UNION
SELECT "id", "hostId", now() - interval '2 days' FROM "ScheduledSession"
ON CONFLICT DO NOTHING;

INSERT INTO "ChatMessage" ("sessionId", "authorId", "body", "sentAt")
SELECT s."sessionId", s."userId",
       (ARRAY['Who brings snacks?', 'I may be ten minutes late.', 'Count me in.', 'Same team as last time?', 'My mic is fixed now.',
              'Can someone host the server?', 'Good game yesterday!', 'I will watch this one.'])[1 + floor(random() * 8)::int],
       now() - random() * interval '1 day'
  FROM "SessionSeat" s;

INSERT INTO "ActivityLog" ("at", "userId", "action", "detail")
SELECT date_trunc('hour', now()) - random() * interval '59 minutes', 1 + floor(random() * 38)::int,
       (ARRAY['login', 'logout', 'search', 'open_game', 'open_profile'])[1 + floor(random() * 5)::int], '{}'
  FROM generate_series(1, 120);
