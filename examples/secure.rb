# frozen_string_literal: true

# An echo server over TLS (wss://). The certificate is made at the start and signed by itself:
# good enough to try, not to publish. Give `:tls_options` your own files for that.
#
#   ruby -Ilib examples/secure.rb [port]      (8443 by default; 0: any free port)

require "em-websocket"
require "openssl"
require "tmpdir"

$stdout.sync = true

def self_signed(key, host)
  OpenSSL::X509::Certificate.new.tap do |certificate|
    certificate.version = 2
    certificate.serial = OpenSSL::BN.rand(64)
    certificate.subject = certificate.issuer = OpenSSL::X509::Name.new([["CN", host]])
    certificate.public_key = key
    certificate.not_before = Time.now - 60
    certificate.not_after = Time.now + (24 * 60 * 60)
    extensions = OpenSSL::X509::ExtensionFactory.new
    names = extensions.create_extension("subjectAltName", "DNS:#{host},IP:127.0.0.1,IP:::1")
    certificate.add_extension(names)
    certificate.sign(key, OpenSSL::Digest.new("SHA256"))
  end
end

# Writes the two files of the key and its certificate and returns them as `:tls_options`.
def tls_options(directory)
  key = OpenSSL::PKey::EC.generate("prime256v1")
  files = { private_key_file: key, cert_chain_file: self_signed(key, "localhost") }
  files.to_h do |option, content|
    path = File.join(directory, "#{option}.pem")
    File.write(path, content.to_pem, perm: 0o600)
    [option, path]
  end
end

Dir.mktmpdir("secure-example") do |directory|
  EM.run do
    %w[INT TERM].each { |signal| trap(signal) { EM.stop } }

    options = { host: "127.0.0.1", port: ARGV[0] || ENV["PORT"] || 8443,
                secure: true, tls_options: tls_options(directory) }
    server = EM::WebSocket.run(options) do |ws|
      ws.onopen { puts "open, over TLS" }
      ws.onmessage { |text| ws.send(text) }
      ws.onbinary { |bytes| ws.send_binary(bytes) }
      ws.onclose { |event| puts "closed: #{event[:code]} #{event[:reason]}".rstrip }
    end

    port, = Socket.unpack_sockaddr_in(EM.get_sockname(server))
    puts "Echoing on wss://localhost:#{port}/"
  end
end
