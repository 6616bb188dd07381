//! What the people of the demo are called, play and say. All invented.

pub(super) const NAMES: &[&str] = &[
    "Aila", "Bastian", "Cleo", "Dario", "Elif", "Finn", "Gesa", "Henrik", "Imke", "Jasper", "Karim", "Leonie", "Malik", "Nora",
    "Ole", "Pia", "Rafael", "Selin", "Thore", "Ulla", "Viktor", "Wim", "Yara", "Zeno",
];

pub(super) const BIOS: &[&str] = &[
    "Back after a long break.",
    "Looking for a steady group.",
    "Speedruns on weekends.",
    "Reads every quest text.",
    "Plays with a steering wheel.",
    "Brings cake to every final.",
    "Never skips the tutorial.",
    "Two cats on the keyboard.",
];

pub(super) const TIMEZONES: &[&str] =
    &["Europe/Berlin", "Europe/Lisbon", "Europe/Istanbul", "America/Montreal", "Asia/Seoul", "UTC"];

pub(super) const GENRES: &[&str] = &["adventure", "coop", "party", "puzzle", "racing", "strategy", "survival"];

pub(super) const DEVICES: &[&str] = &["phone", "laptop", "tablet", "desktop"];

pub(super) const SESSION_TITLES: &[&str] = &[
    "Friday night run",
    "Beginners welcome",
    "One quick round",
    "Campaign, next part",
    "Rematch!",
    "Sunday practice",
    "Try the new map",
    "No voice chat needed",
];

pub(super) const MESSAGES: &[&str] = &[
    "I'm in!",
    "Ten minutes late, start without me.",
    "Who has the save game?",
    "That boss again…",
    "gg, see you tomorrow",
    "Can we move it to nine?",
    "My ping is terrible today",
    "I'll bring the map.",
    "Same team as last week?",
    "Someone please host, my router is on fire 🔥",
    "Bin gleich da!",
    "We won by *one* point.",
    "Left the lantern at the ferry, sorry.",
    "Is the expansion needed?",
];

pub(super) const TITLES: &[&str] = &[
    "Amber Relay",
    "Beacon & Bramble",
    "Cartographer's Supper",
    "Dust Parade",
    "Eleventh Harbour",
    "Fable Foundry",
    "Gravel Symphony",
    "Hearth Protocol",
    "Inkwater",
    "Juniper Station",
    "Kite Republic",
    "Low Tide League",
    "Mirror Orchard",
    "Night Bus to Vell",
];

pub(super) const REASONS: &[&str] = &[
    "Four of us own it already.",
    "It is on sale this week.",
    "Finally something with cross-play.",
    "Good for a group of six.",
    "The demo was fun.",
    "I want to lose at something new.",
    "Rounds take twenty minutes.",
];
