"""An exchange on loopback that speaks the REST protocols of Binance and Kraken."""
