//! A tenant to try things against: a world of incidents that live, and the API in front of it.
