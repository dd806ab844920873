//! The source: the incidents API in its dialects. Asks once and turns every answer into what the caller must do.
