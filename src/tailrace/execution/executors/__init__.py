"""The executor port and its adapters: they take queued tries and give hints."""
