# frozen_string_literal: true

require "openssl"

module TlsAudit
  # A certificate authority for one audit, so that what is said of the certificates is what would
  # be said of real ones.
  class Authority
    DAY = 86_400
    # Mozilla wants 366 days at most, and testssl.sh says so of the last 60.
    LIFE = 90 * DAY

    KEYS = {
      "RSA, 2048 bits" => -> { OpenSSL::PKey::RSA.new(2048) },
      "ECDSA, P-256" => -> { OpenSSL::PKey::EC.generate("prime256v1") }
    }.freeze

    SERVER = [
      ["basicConstraints", "CA:FALSE", true],
      ["keyUsage", "digitalSignature", true],
      ["extendedKeyUsage", "serverAuth", false],
      ["subjectAltName", "DNS:localhost,IP:127.0.0.1", false]
    ].freeze

    # Writes its files into this directory.
    def initialize(directory)
      @directory = directory
      @key = OpenSSL::PKey::EC.generate("prime256v1")
      @certificate = sign("/CN=Audit", @key, [
                            ["basicConstraints", "CA:TRUE", true],
                            ["keyUsage", "keyCertSign,cRLSign", true]
                          ])
      File.write(file, @certificate.to_pem)
    end

    # Its own certificate.
    def file = File.join(@directory, "authority.pem")

    # Paths of the key and of the certificate of a server with a key of this kind.
    def issue(kind)
      key = KEYS.fetch(kind).call
      name = kind.downcase.tr("^a-z0-9", "-")
      %W[#{name}-key.pem #{name}.pem].map { |base| File.join(@directory, base) }.tap do |paths|
        File.write(paths[0], key.private_to_pem)
        File.write(paths[1], sign("/CN=localhost", key, SERVER).to_pem)
      end
    end

    private

    def sign(subject, key, extensions)
      made = OpenSSL::X509::Certificate.new
      made.version = 2
      # 127 bits: testssl.sh counts the bytes.
      made.serial = OpenSSL::BN.rand(127, 0)
      made.subject = OpenSSL::X509::Name.parse(subject)
      made.issuer = (@certificate || made).subject
      made.public_key = key.is_a?(OpenSSL::PKey::EC) ? key : key.public_key
      made.not_before = Time.now - 3600
      made.not_after = made.not_before + LIFE
      add_extensions(made, extensions)
      made.sign(@key, OpenSSL::Digest.new("SHA256"))
    end

    def add_extensions(made, extensions)
      factory = OpenSSL::X509::ExtensionFactory.new(@certificate || made, made)
      identifiers = [["subjectKeyIdentifier", "hash", false]]
      identifiers << ["authorityKeyIdentifier", "keyid:always", false] if @certificate
      (extensions + identifiers).each { |each| made.add_extension(factory.create_extension(*each)) }
    end
  end
end
