# frozen_string_literal: true

require "openssl"
require "tmpdir"

# A key and a self-made certificate, as files in a directory that goes away with the process.
module Certificate
  module_function

  def key_file = files.fetch(:key)
  def chain_file = files.fetch(:chain)
  def key_text = File.read(key_file)
  def chain_text = File.read(chain_file)
  def tls_options = { private_key_file: key_file, cert_chain_file: chain_file }

  # The same key, encrypted.
  def encrypted_key_file(password)
    File.join(directory, "encrypted.pem").tap do |path|
      File.write(path, key.private_to_pem(OpenSSL::Cipher.new("aes-256-cbc"), password))
    end
  end

  def files
    @files ||= {
      key: File.join(directory, "key.pem"), chain: File.join(directory, "chain.pem")
    }.tap do |paths|
      File.write(paths[:key], key.private_to_pem)
      File.write(paths[:chain], certificate.to_pem)
    end
  end

  def directory
    @directory ||= Dir.mktmpdir("certificate").tap do |path|
      owner = Process.pid
      at_exit { FileUtils.remove_entry(path) if Process.pid == owner }
    end
  end

  def key = @key ||= OpenSSL::PKey::RSA.new(2048)

  def certificate
    @certificate ||= OpenSSL::X509::Certificate.new.tap do |made|
      made.version = 2
      made.serial = 1
      made.subject = made.issuer = OpenSSL::X509::Name.parse("/CN=localhost")
      made.public_key = key.public_key
      made.not_before = Time.now - 3600
      made.not_after = Time.now + 86_400
      extensions = OpenSSL::X509::ExtensionFactory.new(made, made)
      made.add_extension(extensions.create_extension("basicConstraints", "CA:TRUE", true))
      made.add_extension(
        extensions.create_extension("subjectAltName", "DNS:localhost,IP:127.0.0.1", false)
      )
      made.sign(key, OpenSSL::Digest.new("SHA256"))
    end
  end
end
