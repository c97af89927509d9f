"""Exchange with other toolkits: soft targets on lhotse cuts, Kaldi's folders and archives."""
