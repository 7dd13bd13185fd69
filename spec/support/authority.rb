# frozen_string_literal: true

require "openssl"

# Somebody who issues certificates.
class Authority
  attr_reader :certificate

  def initialize(name)
    @key = OpenSSL::PKey::EC.generate("prime256v1")
    @name = name
    @certificate = sign(name, @key, "CA:TRUE")
  end

  def pem = certificate.to_pem

  # A key and its certificate, as a TlsClient takes them.
  # @param names [String, nil] those of a server, as OpenSSL writes them
  def issue(name, not_after: Time.now + 86_400, names: nil)
    key = OpenSSL::PKey::EC.generate("prime256v1")
    { key: key, cert: sign(name, key, "CA:FALSE", not_after, names) }
  end

  private

  def sign(name, key, constraints, not_after = Time.now + 86_400, names = nil)
    OpenSSL::X509::Certificate.new.tap do |made|
      made.version = 2
      made.serial = rand(1 << 60)
      made.subject = OpenSSL::X509::Name.parse("/CN=#{name}")
      made.issuer = OpenSSL::X509::Name.parse("/CN=#{@name}")
      made.public_key = key
      made.not_before = Time.now - 86_400
      made.not_after = not_after
      extensions = OpenSSL::X509::ExtensionFactory.new(certificate || made, made)
      made.add_extension(extensions.create_extension("basicConstraints", constraints, true))
      made.add_extension(extensions.create_extension("subjectAltName", names)) if names
      made.sign(@key, OpenSSL::Digest.new("SHA256"))
    end
  end
end
