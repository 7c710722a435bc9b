"""One Postgres database for a team: traces, images and the history of its memories."""
