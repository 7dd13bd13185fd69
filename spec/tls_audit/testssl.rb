# frozen_string_literal: true

require_relative "report"

module TlsAudit
  # testssl.sh, with everything that it can try on a server that is not HTTP.
  class Testssl
    COMMANDS = %w[testssl testssl.sh].freeze
    PATIENCE = 900

    HARMLESS = %w[OK INFO DEBUG].freeze

    # Tests that must have been tried, by testssl.sh's ids: another one where it was renamed.
    TRIED = [
      %w[SSLv2], %w[SSLv3], %w[TLS1], %w[TLS1_1], %w[TLS1_2], %w[TLS1_3], %w[GREASE],
      %w[cipherlist_NULL], %w[cipherlist_aNULL], %w[cipherlist_EXPORT], %w[cipherlist_LOW],
      %w[cipherlist_3DES_IDEA], %w[cipherlist_AVERAGE cipherlist_OBSOLETED],
      %w[cipherlist_STRONG cipherlist_STRONG_FS], %w[PFS FS], %w[PFS_ECDHE_curves FS_ECDHE_curves],
      %w[cert_chain_of_trust], %w[cert_trust], %w[heartbleed], %w[CCS], %w[ROBOT],
      %w[secure_renego], %w[secure_client_renego], %w[CRIME_TLS], %w[POODLE_SSL],
      %w[fallback_SCSV], %w[SWEET32], %w[FREAK], %w[DROWN], %w[LOGJAM], %w[BEAST], %w[LUCKY13],
      %w[RC4]
    ].freeze

    # Findings that are no fault of the server's, and why.
    IGNORED = {
      /\Acipher_order/ =>
        "every suite is one of those that are recommended, so the client chooses the one that it " \
        "is fastest with; Mozilla's profile wants it so",
      /\Acert_revocation\z/ => "a certificate for loopback names no CRL and no OCSP responder",
      /\A(OCSP_stapling|cert_ocspURL)/ => "as there is no OCSP responder, nothing can be stapled",
      /\ADNS_CAArecord/ => "loopback has no DNS",
      /\Acertificate_transparency/ => "no public log takes a certificate for loopback",
      /\Asessionresumption_/ =>
        "its client hangs up at once, often before a ticket of TLS 1.3 has come; " \
        "tests/server/tls_attacks/resumption.rs does wait",
      /\A(overall_grade|grade_cap_reason|rating)/ => "a sum of what is here in detail"
    }.freeze

    def self.command
      COMMANDS.find { |name| system("command -v #{name} >/dev/null") } ||
        raise(Failed, "there is no testssl.sh")
    end

    # Asks neither DNS nor anybody else.
    def self.audit(port, authority_file, json_file)
      json, = Tool.run(
        { "PHONE_OUT" => "false" }, command, "--full", "--quiet", "--color", "0",
        "--warnings", "off", "--nodns", "none", "--add-ca", authority_file,
        "--jsonfile-pretty", json_file, "127.0.0.1:#{port}", within: PATIENCE, json_file: json_file
      )
      new(json)
    end

    def initialize(json)
      @version = json["version"].to_s[/[\d.]*\d/]
      sections = Array(json["scanResult"]).first.to_h
      @clients = sections["browserSimulations"].to_a
      @entries = (sections.values.grep(Array).flatten - @clients).grep(Hash)
    end

    def report
      @report = Report.new("testssl.sh #{@version}")
      TRIED.each { |ids| note(ids) }
      names = @clients.reject { |client| client["finding"].match?(/\ANo connection/i) }
      @report.results["clients of #{@clients.size}"] = "#{names.size} connect"
      @entries.each { |entry| judge(entry) unless HARMLESS.include?(entry["severity"]) }
      @report
    end

    private

    def note(ids)
      entry = @entries.find { |each| ids.include?(each["id"].to_s.split.first) }
      if entry
        @report.results[ids.first] = entry["finding"].to_s.strip
      else
        @report.findings << Finding.new(ids.first, :unknown, "not tried")
      end
    end

    # A warning is of testssl.sh's about itself: something could not be tried.
    def judge(entry)
      severity = entry["severity"] == "WARN" ? :unknown : entry["severity"]
      finding = Finding.new(entry["id"], severity, entry["finding"])
      _, reason = IGNORED.find { |pattern, _| pattern.match?(entry["id"]) }
      reason ? @report.ignored << [finding, reason] : @report.findings << finding
    end
  end
end
