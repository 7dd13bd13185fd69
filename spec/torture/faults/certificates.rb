# frozen_string_literal: true

require "fileutils"
require "openssl"
require "tmpdir"

module Torture
  # Certificates that are replaced, now and then by a broken one, while clients talk and come.
  class Certificates < Fault
    fault "certificates", "certificates replaced ten times among 1,000 clients that talk"

    REPLACEMENTS = 10
    private_constant :REPLACEMENTS

    def run
      @directory = Dir.mktmpdir
      replace(0)
      server = serve_files
      clients = Array.new(scaled(1000, 200)) { Client.open(server.port, tls: true) }
      bystander = bystander(server, tls: true)
      @echoed = 0
      seen = Array.new(REPLACEMENTS) { |number| replaced(server, clients, number + 1) }
      judge(clients, seen)
      unaffected(bystander)
      clients.each(&:close)
    ensure
      FileUtils.remove_entry(@directory)
    end

    private

    def judge(clients, seen)
      promise "clients that stay", clients.count { |client| !client.ended? }, equals: clients.size
      promise "their messages, echoed", @echoed, equals: clients.size * REPLACEMENTS
      promise "new clients with the newest whole certificate", seen.map(&:first).count(true),
              equals: REPLACEMENTS
      promise "reloads that said what they were", seen.map(&:last).count(true), equals: REPLACEMENTS
    end

    def serve_files
      options = { secure: true, tls_options: { private_key_file: path("key"),
                                               cert_chain_file: path("chain") } }
      answers = { reload: -> { EM::WebSocket.reload_tls.map(&:message) } }
      serve_echo(options, answers: answers)
    end

    # Replaces the certificate while everybody's message is on its way. Whether a new client sees
    # the newest that is whole, and whether the reload has told of one that is not.
    def replaced(server, clients, number)
      clients.each { |client| client.text(number.to_s) }
      is_whole = number % 3 != 0
      is_whole ? replace(number) : File.write(path("chain"), "damaged")
      errors = server.ask(:reload)
      @whole = number if is_whole
      subject = Client.open(server.port, tls: true).then do |client|
        client.socket.peer_cert.subject.to_s.tap { client.close }
      end
      Client.pump(clients) { clients.all? { |client| client.inbox.any? } }
      @echoed += clients.count { |client| client.inbox.shift == [Client::TEXT, number.to_s] }
      [subject == "/CN=#{@whole}", errors.empty? == is_whole]
    end

    def path(name) = File.join(@directory, "#{name}.pem")

    def replace(number)
      key = OpenSSL::PKey::EC.generate("prime256v1")
      made = OpenSSL::X509::Certificate.new
      made.version = 2
      made.serial = number + 1
      made.subject = made.issuer = OpenSSL::X509::Name.parse("/CN=#{number}")
      made.public_key = key
      made.not_before = Time.now - 3600
      made.not_after = Time.now + 86_400
      File.write(path("chain"), made.sign(key, OpenSSL::Digest.new("SHA256")).to_pem)
      File.write(path("key"), key.private_to_pem)
      @whole = number
    end
  end
end
