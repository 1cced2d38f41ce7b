from encryptotel.cli import main

main()
